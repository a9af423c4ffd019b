"use strict";
(() => {
  const root = document.documentElement;

  const theme = document.getElementById("theme");
  const names = ["as the system", "light", "dark"];
  const read = () => { try { return localStorage.getItem("sharpen-theme"); } catch { return null; } };
  const use = (name) => {
    root.style.colorScheme = name === names[0] ? "" : name;
    theme.querySelector("span").textContent = name;
    try { localStorage.setItem("sharpen-theme", name); } catch { /* pages from a file may not be allowed to remember */ }
  };
  theme.hidden = false;
  use(names.includes(read()) ? read() : names[0]);
  theme.addEventListener("click", () => {
    const now = theme.querySelector("span").textContent;
    use(names[(names.indexOf(now) + 1) % names.length]);
  });

  const paged = (list) => {
    const size = Number(list.dataset.size);
    const items = [...list.children];
    const pager = document.querySelector(`.pager[data-for="${list.id}"]`);
    const form = document.querySelector(`.filters[data-for="${list.id}"]`);
    const selects = [...form.querySelectorAll("select")];
    const [previous, next] = pager.querySelectorAll("button");
    let page = 0;
    let found = items;
    const fits = (item, select) => select.value === "" || (item.dataset[select.name] || "").split(" ").includes(select.value);
    const show = () => {
      const first = page * size;
      const shown = new Set(found.slice(first, first + size));
      for (const item of items) item.hidden = !shown.has(item);
      const last = Math.min(first + size, found.length);
      pager.querySelector("[role=status]").textContent = found.length ? `${first + 1} to ${last} of ${found.length}` : "none";
      previous.disabled = page === 0;
      next.disabled = last >= found.length;
    };
    const filter = () => {
      found = items.filter((item) => selects.every((select) => fits(item, select)));
      for (const select of selects.filter((one) => one.dataset.inner)) {
        for (const inner of list.querySelectorAll(`.${select.dataset.inner} > li`)) inner.hidden = !fits(inner, select);
      }
      page = 0;
      show();
    };
    const turn = (step) => {
      const pages = Math.ceil(found.length / size);
      const wanted = Math.min(Math.max(page + step, 0), Math.max(pages - 1, 0));
      if (wanted === page) return;
      page = wanted;
      show();
      list.scrollIntoView({ block: "nearest" });
    };
    const move = (step) => {
      const place = found.findIndex((item) => item.contains(document.activeElement));
      const wanted = place < 0 ? page * size : Math.min(Math.max(place + step, 0), found.length - 1);
      if (!found.length) return;
      page = Math.floor(wanted / size);
      show();
      found[wanted].focus();
    };
    previous.addEventListener("click", () => turn(-1));
    next.addEventListener("click", () => turn(1));
    for (const select of selects) select.addEventListener("change", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    list.addEventListener("keydown", (event) => {
      const steps = { j: () => move(1), k: () => move(-1), ArrowRight: () => turn(1), ArrowLeft: () => turn(-1) };
      if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in steps)) return;
      event.preventDefault();
      steps[event.key]();
    });
    pager.hidden = items.length <= size;
    form.hidden = false;
    show();
  };
  document.querySelectorAll(".items").forEach(paged);

  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((one) => one.isIntersecting)) {
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target.id).setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  document.querySelectorAll("main > section").forEach((section) => watcher.observe(section));
})();
