// What makes a page handier: filters, copying, themes. All text is put in by textContent, and all of it is there without
// this script.
"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const all = (what, from = document) => [...from.querySelectorAll(what)];
  const data = JSON.parse(document.getElementById("report-data")?.textContent ?? "null");
  const status = document.getElementById("said");
  const say = (text) => { status.textContent = text; };

  // -- themes ------------------------------------------------------------------------------------------------------
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const switchTheme = document.querySelector('[data-action="theme"]');
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const showTheme = () => {
    if (switchTheme) {
      switchTheme.textContent = isDark() ? "Light" : "Dark";
      switchTheme.setAttribute("aria-pressed", String(isDark()));
      switchTheme.setAttribute("aria-label", isDark() ? "Light colours" : "Dark colours");
    }
    document.dispatchEvent(new CustomEvent("theme"));
  };
  dark.addEventListener("change", showTheme);
  showTheme();

  // -- a report grows old --------------------------------------------------------------------------------------------
  const spell = (ms) => {
    const minutes = Math.floor(Math.abs(ms) / 60000);
    if (minutes < 60) return `${minutes} min`;
    return minutes < 72 * 60 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 1440)} days`;
  };
  const age = document.getElementById("age");
  if (data && age) {
    const old = Date.now() - Date.parse(data.now);
    if (old > 3600000) {
      const left = data.deadline && Date.parse(data.deadline) - Date.now();
      const end = !data.deadline ? "" : left > 0 ? ` Now ${spell(left)} are left.` : ` That time has been over for ${spell(left)}.`;
      age.textContent = `This report is ${spell(old)} old.${end}`;
      age.hidden = false;
    }
  }

  // -- filters of the findings ---------------------------------------------------------------------------------------
  const findings = all("[data-finding]");
  const found = document.getElementById("found");
  const filter = () => {
    const words = (document.querySelector('[data-filter="text"]')?.value ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    const area = document.querySelector('[data-filter="area"]')?.value ?? "";
    const severities = new Set(all('[data-filter="severity"]:checked').map((box) => box.value));
    let shown = 0;
    for (const one of findings) {
      const text = one.textContent.toLowerCase();
      const here = one.closest(".area").dataset.area;
      const fits = severities.has(one.dataset.severity) && (!area || area === here) && words.every((word) => text.includes(word));
      one.hidden = !fits;
      shown += fits;
    }
    for (const group of all("#findings .finding:not([data-finding])")) group.hidden = !group.querySelector("[data-finding]:not([hidden])");
    for (const section of all("#findings .area")) section.hidden = !section.querySelector("[data-finding]:not([hidden])");
    if (found) found.textContent = shown === findings.length ? "" : `${shown} of ${findings.length} findings`;
  };
  for (const control of all("[data-filter]")) control.addEventListener("input", filter);
  const reveal = (element) => {
    for (let at = element; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    const inner = element.querySelector(":scope > details");
    if (inner) inner.open = true;
  };
  const follow = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    if (target.closest("[hidden]")) {
      for (const control of all("[data-filter]")) control.type === "checkbox" ? (control.checked = true) : (control.value = "");
      filter();
    }
    reveal(target);
    target.scrollIntoView();
  };
  addEventListener("hashchange", follow);
  follow();

  // -- copying -------------------------------------------------------------------------------------------------------
  const offer = (text) => {
    const dialog = document.createElement("dialog");
    dialog.className = "dialog";
    dialog.setAttribute("aria-label", "Text to copy");
    const area = document.createElement("textarea");
    area.readOnly = true;
    area.value = text;
    area.setAttribute("aria-label", "Text to copy");
    const row = document.createElement("div");
    row.className = "row";
    const close = document.createElement("button");
    close.textContent = "Close";
    close.addEventListener("click", () => dialog.close());
    row.append(close);
    dialog.append(area, row);
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    area.select();
    try { return document.execCommand("copy"); } catch { return false; }
  };
  const copy = async (text, button) => {
    let done = false;
    try {
      await navigator.clipboard.writeText(text);
      done = true;
    } catch {
      done = offer(text);
    }
    say(done ? "Copied" : "Copy it from the field");
    if (done) {
      const label = button.firstChild;
      const before = label.textContent;
      label.textContent = "Copied";
      setTimeout(() => { label.textContent = before; }, 1500);
    }
  };

  // -- buttons -------------------------------------------------------------------------------------------------------
  const actions = {
    print: () => print(),
    theme: () => { root.dataset.theme = isDark() ? "light" : "dark"; showTheme(); },
    open: (button) => {
      const closed = all("#findings .finding:not([hidden]) > details");
      const open = closed.some((one) => !one.open);
      for (const one of closed) one.open = open;
      button.textContent = open ? "Close all" : "Open all";
    },
    copy: (button) => copy(`${data.findings[button.dataset.of][3]}\n`, button),
    "copy-all": (button) => {
      const shown = findings.filter((one) => !one.closest("[hidden]")).map((one) => data.findings[one.dataset.finding][3]).filter(Boolean);
      return copy(`${shown.join("\n")}\n`, button);
    },
    show: (button) => document.dispatchEvent(new CustomEvent("show-finding", { detail: button.dataset.of })),
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-action]");
    if (button) actions[button.dataset.action](button);
    const link = event.target.closest?.('a[href^="#"]');
    if (link && link.hash === location.hash) follow();
  });

  // -- paper shows all -----------------------------------------------------------------------------------------------
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = all("details:not([open])").filter((one) => !one.closest("#graph"));
    for (const one of closed) one.open = true;
  });
  addEventListener("afterprint", () => { for (const one of closed) one.open = false; });
})();
