"""The report as one HTML file that needs nothing else. Needs the extra: `pip install 'dialler-async[report]'`.

    from dialler_async.audit.writers.html import write_html

    Path("report.html").write_text("".join(write_html(report)), encoding="utf-8")

All its text and drawings are in the file, so it can be read, searched and printed without scripts. Its one script
filters, and shows tooltips. Its policy (CSP) allows only its own style and script, by their hashes. So it sends no
request, and a script in a campaign's name would not run.
"""

from .page import write_html

__all__ = ["write_html"]
