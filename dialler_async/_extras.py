"""What to do if an extra of the package is not installed."""


def needs_extra(subject: str, extra: str) -> str:
    """Return a message with a command that installs an extra the way the package was installed.

    Args:
        subject: what needs the extra, such as "the HTML report".
        extra: the name of the extra in the package's metadata.
    """
    return f"{subject} needs the extra “{extra}”: {_install_command(extra)}"


def _install_command(extra: str) -> str:
    # Imported here, because only the message needs them.
    import json
    import shlex
    from importlib.metadata import PackageNotFoundError, distribution
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    try:
        package = distribution("dialler-async")
    except PackageNotFoundError:
        return f"pip install 'dialler-async[{extra}]'"
    installer = "uv pip" if (package.read_text("INSTALLER") or "").strip() == "uv" else "pip"
    # PEP 610: written for everything that does not come from an index. Installers remove passwords from the URL.
    origin = json.loads(package.read_text("direct_url.json") or "{}")
    url = origin.get("url", "")
    if "dir_info" in origin:
        editable = "-e " if origin["dir_info"].get("editable") else ""
        folder = url2pathname(urlsplit(url).path)
        return f"{installer} install {editable}{shlex.quote(f'{folder}[{extra}]')}"
    if "vcs_info" in origin:
        url = f"{origin['vcs_info']['vcs']}+{url}"
    source = f" @ {url}" if url else ""
    return f"{installer} install {shlex.quote(f'dialler-async[{extra}]{source}')}"
