"use strict";
// Filters the page, keeps the filters in its address, sorts tables, and shows cut names as tooltips.
// It makes no element of any text.
(() => {
  const form = document.getElementById("filter");
  const controls = document.getElementById("controls");
  const count = document.getElementById("count");
  const none = document.getElementById("none");
  const differ = document.getElementById("differ");
  const fields = form.elements;
  const boxes = Array.from(fields.severity);
  const folded = (text) => text.normalize("NFKC").toLocaleLowerCase().replace(/\s+/g, " ").trim();
  const plural = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

  const blocks = document.querySelectorAll(".topic > article, .topic > details");
  let findings = null;
  let rows = null;

  // Only when a filter needs it: reading thousands of rows takes longer than all the rest.
  function read() {
    findings ??= Array.from(blocks).flatMap((block) => {
      const heading = block.querySelector("h3");
      const kind = block.querySelector("summary > code");
      return Array.from(block.querySelectorAll("li"), (item) => {
        const title = heading ?? item.firstElementChild;
        const campaign = title.firstElementChild.textContent;
        const rule = (kind ?? item.children[1]).textContent;
        return {
          block, item, campaign, rule, topic: block.parentElement,
          severity: item.dataset.severity ?? item.firstElementChild.textContent,
          text: folded(`${campaign} ${rule} ${item.lastElementChild.textContent}`),
          number: title.querySelector("a[href^='#']")?.hash.slice(2),
        };
      });
    });
    rows ??= Array.from(document.querySelectorAll("[data-filtered] > li"), (row) => ({
      row, text: folded(`${row.children[0].textContent} ${row.children[1].textContent}`), number: row.id.slice(1),
    }));
  }

  function show(element, shown) {
    if (element.hidden === shown) element.hidden = !shown;
    return shown;
  }

  function filter() {
    const text = folded(fields.text.value);
    const rule = fields.rule.value;
    const severities = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const topic = fields.topic.value;
    const topics = topic === "found" ? ["new", "known"] : [topic];
    if (!findings && !text && !rule && !topic && severities.size === boxes.length) return;
    read();
    const left = new Map(Array.from(blocks, (block) => [block, 0]));
    const sections = new Map(Array.from(document.querySelectorAll(".topic"), (section) => [section, false]));
    const campaigns = new Set();
    const numbers = new Set();
    for (const one of findings) {
      const matches = (!rule || one.rule === rule) && severities.has(one.severity) && (!topic || topics.includes(one.topic.id)) &&
        one.text.includes(text);
      if (!show(one.item, matches)) continue;
      left.set(one.block, left.get(one.block) + 1);
      sections.set(one.topic, true);
      campaigns.add(one.campaign);
      if (one.number) numbers.add(one.number);
    }
    let sum = 0;
    for (const [block, number] of left) {
      show(block, number > 0);
      sum += number;
      const counter = block.querySelector("summary > span");
      if (counter) counter.textContent = plural(number, "finding");
    }
    for (const [section, isShown] of sections) show(section, isShown);
    for (const one of rows) show(one.row, one.text.includes(text) || numbers.has(one.number));
    show(none, sum === 0 && findings.length > 0);
    count.value = sum === findings.length
      ? plural(sum, "finding")
      : `${sum.toLocaleString("en")} of ${plural(findings.length, "finding")}, in ${plural(campaigns.size, "campaign")}`;
  }

  function writeAddress() {
    const address = new URL(location.href);
    const wanted = boxes.filter((box) => box.checked).map((box) => box.value);
    const values = {
      text: fields.text.value, rule: fields.rule.value,
      topic: fields.topic.value, severity: wanted.length === boxes.length ? "" : wanted.join(",") || "none",
      keys: !differ || differ.checked === differ.defaultChecked ? "" : differ.checked ? "lacking" : "all",
    };
    for (const [name, value] of Object.entries(values)) {
      if (value) address.searchParams.set(name, value);
      else address.searchParams.delete(name);
    }
    if (address.href !== location.href) history.replaceState(null, "", address);
  }

  function readAddress() {
    const values = new URL(location.href).searchParams;
    fields.text.value = values.get("text") ?? "";
    for (const field of [fields.rule, fields.topic]) {
      field.value = values.get(field.id) ?? "";
      if (field.selectedIndex < 0) field.value = "";
    }
    const wanted = values.get("severity")?.split(",");
    for (const box of boxes) box.checked = !wanted || wanted.includes(box.value);
    if (differ) differ.checked = values.has("keys") ? values.get("keys") === "lacking" : differ.defaultChecked;
  }

  for (const type of ["input", "change"]) form.addEventListener(type, filter);
  form.addEventListener("change", writeAddress);
  differ?.addEventListener("change", writeAddress);
  form.addEventListener("submit", (event) => event.preventDefault());
  // The event comes before the fields are reset.
  form.addEventListener("reset", () => setTimeout(() => { filter(); writeAddress(); }));

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    const target = link && document.getElementById(link.hash.slice(1));
    if (!target) return;
    if (link.dataset.topic) {
      controls.open = true;
      form.reset();
      fields.topic.value = link.dataset.topic;
      for (const box of boxes) box.checked = !link.dataset.severity || box.value === link.dataset.severity;
      filter();
    } else if (target.closest("[hidden]")) {
      form.reset();
      filter();
    }
    if (differ && target.matches(".matrix li:not(.lacking)")) differ.checked = false;
  });
  document.addEventListener("pointerover", ({ target }) => {
    if (target.matches(".rows b, .heads bdi") && target.scrollWidth > target.clientWidth) target.title = target.textContent;
  });

  function sort(table, head) {
    const descending = head.ariaSort ? head.ariaSort === "ascending" : head.classList.contains("n");
    for (const other of table.tHead.rows[0].cells) other.ariaSort = null;
    head.ariaSort = descending ? "descending" : "ascending";
    const value = (row) => {
      const text = row.cells[head.cellIndex].textContent.trim();
      return head.classList.contains("n") ? Number.parseFloat(text.replaceAll(",", "")) : text;
    };
    const compare = (one, other) => typeof one === "string" ? one.localeCompare(other, "en") : one - other;
    const rows = Array.from(table.tBodies[0].rows, (row) => [value(row), row]);
    rows.sort(([one], [other]) => descending ? compare(other, one) : compare(one, other));
    table.tBodies[0].append(...rows.map(([, row]) => row));
  }
  for (const table of document.querySelectorAll("table")) {
    for (const head of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(table, head));
      head.append(button);
    }
  }

  readAddress();
  controls.hidden = false;
  controls.open = location.search !== "" || matchMedia("(min-width: 48rem)").matches;
  filter();
})();
