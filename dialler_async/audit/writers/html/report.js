"use strict";
// Filters what is there. Everything has been written into the page beforehand: nothing is made of text here.
(() => {
  const form = document.getElementById("filter");
  const count = document.getElementById("count");
  const none = document.getElementById("none");
  const folded = (text) => text.normalize("NFKC").toLocaleLowerCase();
  const called = (element) => folded(element.textContent.replace(/\s+/g, " ").trim());

  const groups = Array.from(document.querySelectorAll("#list > article"), (article) => ({
    article,
    name: called(article.firstElementChild),
    findings: Array.from(article.querySelectorAll("li"), (item) => ({
      item, severity: item.children[0].textContent, rule: item.children[1].textContent,
    })),
  }));
  const rows = Array.from(document.querySelectorAll("[data-filtered] > li"), (row) => ({
    row, name: called(row.firstElementChild),
  }));
  const total = groups.reduce((sum, group) => sum + group.findings.length, 0);

  function show(element, shown) {
    if (element.hidden === shown) element.hidden = !shown;
    return shown;
  }

  function filter() {
    const text = folded(form.elements.text.value.trim());
    const rule = form.elements.rule.value;
    const severities = new Set(Array.from(form.querySelectorAll("[name=severity]:checked"), (box) => box.value));
    let findings = 0;
    let campaigns = 0;
    for (const group of groups) {
      let left = 0;
      if (group.name.includes(text)) {
        for (const one of group.findings) {
          left += show(one.item, (!rule || one.rule === rule) && severities.has(one.severity));
        }
      }
      findings += left;
      campaigns += show(group.article, left > 0);
    }
    for (const { row, name } of rows) show(row, name.includes(text));
    show(none, findings === 0 && total > 0);
    const number = (value) => value.toLocaleString("en");
    count.value = findings === total
      ? `${number(total)} findings`
      : `${number(findings)} of ${number(total)} findings, in ${number(campaigns)} campaigns`;
  }

  for (const type of ["input", "change"]) form.addEventListener(type, filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  // The event comes before the fields are reset.
  form.addEventListener("reset", () => setTimeout(filter));
  document.getElementById("rules").addEventListener("click", (event) => {
    const link = event.target.closest("[data-rule]");
    if (!link) return;
    form.elements.rule.value = link.textContent;
    filter();
  });
  form.hidden = false;
  filter(); // what a browser has kept in the fields from before a reload
})();
