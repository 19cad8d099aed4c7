// Search and downloads on pages opened from files, where the theme's scripts expect a server.
(() => {
  "use strict";

  // A summary would be fetched from the page that it summarises, which a file may not do.
  if (window.location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
    DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
  }

  // Titles in the index of the search hold TeX: show \(\sigma\) as "sigma".
  const plain = (text) =>
    text.replace(/\\\((.*?)\\\)/g, (_, tex) => tex.replace(/\\[a-z]+\s*(?=\{)|[\\{}]/g, ""));

  const clean = (box) => {
    const walker = document.createTreeWalker(box, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const shown = plain(walker.currentNode.data);
      if (shown !== walker.currentNode.data) walker.currentNode.data = shown;
    }
  };

  document.addEventListener("DOMContentLoaded", () => {
    // A server says that a notebook is no page to show; a file has to be told.
    for (const link of document.querySelectorAll("a.btn-download-source-button")) {
      link.removeAttribute("target");
      link.download = "";
    }
    const results = document.getElementById("search-results");
    if (!results) return;
    clean(results);
    new MutationObserver(() => clean(results)).observe(results, { childList: true, subtree: true });
  });
})();
