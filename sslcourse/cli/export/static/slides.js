/* Cells become slides that fit the screen. What is too tall for one slide goes on on the next, paragraph by paragraph and
   row by row; what cannot be divided is made smaller. Measured here, since only the browser knows how tall a formula is. */
(function () {
  const WIDTH = 1280, HEIGHT = 720, ACROSS = WIDTH - 96, DOWN = HEIGHT - 48;

  const slides = document.querySelector(".slides"), source = document.getElementById("cells");
  const make = (name, className) => { const made = document.createElement(name); made.className = className || ""; return made; };

  /* One entry for each slide that the notebook asks for: a list of elements. */
  function wanted() {
    const list = [];
    for (const cell of source.querySelectorAll(":scope > .cell")) {
      if (cell.classList.contains("celltag_sslcourse-slide") || !list.length) list.push([]);
      const inside = cell.querySelectorAll(".text_cell_render > *, .input, .output_area");
      list[list.length - 1].push(...(inside.length ? inside : [cell]));
    }
    return list.filter((elements) => elements.length);
  }

  function page(title) {
    const section = make("section"), box = make("div", "box");
    if (title) { const again = make("p", "again"); again.textContent = title + " (continued)"; box.append(again); }
    section.append(box);
    slides.append(section);
    return box;
  }

  const fits = (box) => box.offsetHeight <= DOWN && box.scrollWidth <= ACROSS + 1;

  /* The parts that an element can be divided into, each wrapped as the whole was; [] where it cannot, and then it is as it
     was. alone: it has the slide to itself, so that tables and output are divided row by row. */
  function parts(element, alone) {
    if (element.matches("ul, ol")) return element.children.length < 2 ? [] : [...element.children].map((item, n) => {
      const list = element.cloneNode(false);
      if (list.matches("ol")) list.start = (element.start || 1) + n;
      list.append(item); return list; });
    if (element.matches("table")) {
      const head = element.tHead, rows = [...element.querySelectorAll(":scope > tbody > tr")], size = alone ? 1 : 6;
      return rows.length <= size ? [] : group(rows, size).map((some) => { const table = element.cloneNode(false);
        if (head) table.append(head.cloneNode(true));
        const body = make("tbody"); body.append(...some); table.append(body); return table; });
    }
    if (element.matches("pre") && !element.children.length) {
      const lines = element.textContent.replace(/\n+$/, "").split("\n"), size = alone ? 1 : 8;
      return lines.length <= size ? [] : group(lines, size).map((some) => { const pre = element.cloneNode(false);
        pre.textContent = some.join("\n"); return pre; });
    }
    const loose = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
    if (element.matches("div, blockquote, section, article") && element.children.length && !loose) {
      const kids = [...element.children];
      if (kids.length === 1) return parts(kids[0], alone);
      return kids.map((kid) => { const shell = element.cloneNode(false); shell.append(kid); return shell; });
    }
    return [];
  }

  function group(list, size) {
    const groups = [];
    for (let n = 0; n < list.length; n += size) groups.push(list.slice(n, n + size));
    return groups;
  }

  /* Smaller until it fits; zoom moves the ends of lines, so more than one step may be needed. */
  function shrink(box) {
    box.style.zoom = 1;
    for (let zoom = 1, n = 0; n < 60 && zoom > 0.1; n += 1) {
      const height = box.getBoundingClientRect().height / scale(), width = box.scrollWidth * zoom;
      if (height <= DOWN && width <= ACROSS + 1) return;
      zoom *= Math.min(0.97, Math.max(0.5, Math.min(DOWN / height, ACROSS / width)));
      box.style.zoom = zoom;
    }
  }
  /* Reveal scales the whole slide to the window; offsetWidth knows nothing of that. */
  const scale = () => slides.getBoundingClientRect().width / slides.offsetWidth || 1;

  function lay(elements) {
    const heading = elements.find((element) => element.matches("h1, h2, h3"));
    const title = heading ? heading.textContent.replace("¶", "").trim() : "";
    let box = page(""), filled = 0;
    const queue = elements.slice();
    while (queue.length) {
      const element = queue.shift();
      box.append(element);
      if (fits(box)) { filled += element.matches("h1, h2, h3") ? 0 : 1; continue; }
      const divided = parts(element, !filled);
      if (divided.length > 1) { element.remove(); queue.unshift(...divided); continue; }
      if (filled) {                                     /* it gets a slide of its own, which the next ones share */
        element.remove();
        box = page(title); filled = 0; queue.unshift(element);
        continue;
      }
      filled = 1;
      shrink(box);
      if (queue.length) { box = page(title); filled = 0; }
    }
    if (box.children.length === 1 && box.firstChild.matches(".again")) box.parentElement.remove();
  }

  async function start() {
    const formulas = window.MathJax && MathJax.startup && MathJax.startup.promise;
    if (formulas) await formulas;
    await Promise.all([...document.images].map((image) => image.decode().catch(() => null)));
    document.body.classList.add("laying-out");
    for (const elements of wanted()) lay(elements);
    source.remove();
    document.body.classList.remove("laying-out");
    await Reveal.initialize({ width: WIDTH, height: HEIGHT, margin: 0, center: false, hash: true, slideNumber: "c/t",
      transition: "none", pdfSeparateFragments: false });
    /* A hint that is opened may be taller than the slide. */
    document.addEventListener("toggle", (event) => { const box = event.target.closest(".box"); if (box) shrink(box); }, true);
    document.body.dataset.ready = "1";
  }
  start();
})();
