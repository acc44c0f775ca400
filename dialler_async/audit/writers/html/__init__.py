"""The report as one HTML file that needs nothing else. Needs the extra `report`.

    from dialler_async.audit.writers.html import write_html

    Path("report.html").write_text("".join(write_html(report)), encoding="utf-8")

All text and drawings are in the file, so the page can be read, searched and printed without scripts. A script filters
the findings and shows tooltips. The content security policy allows only the style and the script of the page, by their
hashes. So the page sends no request, and a script in a campaign's name does not run.
"""

from .index import TrendPoint, page_name, write_index
from .page import write_html

__all__ = ["TrendPoint", "page_name", "write_html", "write_index"]
