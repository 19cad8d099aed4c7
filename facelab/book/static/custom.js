// Search and downloads on pages opened from files, where the theme's scripts expect a server.
(() => {
  "use strict";

  const fromFile = window.location.protocol === "file:";

  // A summary would be fetched from the page that it summarises, which a file may not do.
  if (fromFile && typeof DOCUMENTATION_OPTIONS !== "undefined") {
    DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
  }

  // Titles in the index of the search hold TeX: show "\sigma" as "sigma", "\mathbb{R}" as "R".
  const plain = (text) =>
    text.includes("\\") ? text.replace(/\\[()[\]]|\\[A-Za-z]+\s*(?=\{)|[\\{}]/g, "") : text;

  const clean = (box) => {
    const walker = document.createTreeWalker(box, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const shown = plain(walker.currentNode.data);
      if (shown !== walker.currentNode.data) walker.currentNode.data = shown;
    }
  };

  // A browser shows a local notebook as text instead of saving it. A script may be loaded from a
  // file: the one beside the notebook calls this with the notebook's text.
  window.facelabSave = (name, text) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/x-ipynb+json" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  };

  const save = (event) => {
    const script = document.createElement("script");
    script.src = `${event.currentTarget.href}.js`;
    document.head.append(script);
    event.preventDefault();
  };

  document.addEventListener("DOMContentLoaded", () => {
    if (fromFile) {
      for (const link of document.querySelectorAll('a.dropdown-item[href$=".ipynb"]')) {
        link.addEventListener("click", save);
      }
    }
    const results = document.getElementById("search-results");
    if (!results) return;
    clean(results);
    new MutationObserver(() => clean(results)).observe(results, { childList: true, subtree: true });
  });
})();
