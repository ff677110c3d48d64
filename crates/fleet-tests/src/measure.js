// Run by chromium.rs beside the frames: what only a browser knows of each page in them.
addEventListener("load", () => {
  const measured = [...document.querySelectorAll("iframe")].map((frame) => {
    const page = frame.contentDocument;
    const width = frame.clientWidth;
    const name = (element) => `${element.tagName.toLowerCase()}.${element.getAttribute("class") ?? ""}`;
    const style = (element) => frame.contentWindow.getComputedStyle(element);
    // What is only read aloud takes no room, and what scrolls in its own box has its own edge.
    const seen = (element) => {
      for (let e = element; e; e = e.parentElement) {
        if (style(e).clipPath.startsWith("inset(50%") || e.classList.contains("patterns")) return false;
      }
      return element.checkVisibility() && !element.parentElement?.closest(".scroll");
    };
    const overflows = [];
    for (const element of page.body.querySelectorAll("*")) {
      if (!seen(element)) continue;
      const { left, right } = element.getBoundingClientRect();
      if (left < -0.5 || right > width + 0.5) overflows.push(`${name(element)} leaves the page`);
      const box = element instanceof frame.contentWindow.HTMLElement && style(element).display !== "inline";
      if (box && !element.classList.contains("scroll") && element.scrollWidth > element.clientWidth + 1) {
        overflows.push(`${name(element)} overflows`);
      }
    }
    for (const svg of page.querySelectorAll("svg")) {
      const outer = svg.getBoundingClientRect();
      const boxes = [...svg.querySelectorAll("text")].map((text) => text.getBoundingClientRect());
      boxes.forEach((a, i) => {
        if (a.left < outer.left - 4 || a.right > outer.right + 4 || a.top < outer.top || a.bottom > outer.bottom) {
          overflows.push(`label ${i} of ${name(svg)} leaves it`);
        }
        boxes.slice(i + 1).forEach((b, j) => {
          const apart = a.right <= b.left || b.right <= a.left || a.bottom - 3 <= b.top || b.bottom - 3 <= a.top;
          if (!apart) overflows.push(`labels ${i} and ${i + 1 + j} of ${name(svg)} overlap`);
        });
      });
    }
    return {
      width: page.scrollingElement.scrollWidth,
      height: Math.ceil(page.documentElement.getBoundingClientRect().height),
      overflows,
      foreign: [...page.querySelectorAll("script, img, iframe, object, embed, link, a, form, image, use, foreignObject")].map(name),
      requests: frame.contentWindow.performance.getEntriesByType("resource").length,
      background: style(page.documentElement).backgroundColor,
      title: page.title,
    };
  });
  document.getElementById("measured").textContent = JSON.stringify(measured);
});
