"""The report as one HTML file that needs nothing else. Needs the extra: `pip install 'dialler-async[report]'`.

    from dialler_async.audit.writers.html import write_html

    Path("report.html").write_text("".join(write_html(report)), encoding="utf-8")

Everything in it is text and drawings made beforehand, so it can be read, searched and printed with scripts turned off;
its one script only filters. Its policy (CSP) allows its own style and script, by their hashes, and nothing else: no
request leaves it, and a script that came by way of a campaign's name would not run.
"""

from .page import write_html

__all__ = ["write_html"]
