// Each visible text whose contrast with what lies behind it is less than 4.5, or 3 for large text: WCAG 2.2, 1.4.3.
() => {
  const numbers = (colour) => {
    const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number);
    return { r, g, b, a };
  };
  const luminance = ({ r, g, b }) => {
    const [x, y, z] = [r, g, b].map((each) => (each / 255 <= 0.04045 ? each / 255 / 12.92 : ((each / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (node) => {
    const svg = node.closest("svg");
    const frame = svg && node.closest("g.node")?.querySelector("rect");
    if (frame) return numbers(getComputedStyle(frame).fill);
    for (let at = node; at; at = at.parentElement) {
      const found = numbers(getComputedStyle(at).backgroundColor);
      if (found.a === 1) return found;
    }
    return { r: 255, g: 255, b: 255 };
  };
  const found = [];
  let looked = 0;
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((each) => each.nodeType === 3 && each.data.trim());
    const style = getComputedStyle(node);
    if (!own || !node.getClientRects().length || style.visibility === "hidden" || ["SCRIPT", "STYLE", "TITLE", "DESC", "OPTION"].includes(node.tagName.toUpperCase())) continue;
    const ink = numbers(node.closest("svg") ? style.fill : style.color);
    const [one, other] = [luminance(ink), luminance(behind(node))].sort((x, y) => y - x);
    const ratio = (one + 0.05) / (other + 0.05);
    const size = parseFloat(style.fontSize);
    looked += 1;
    if (ratio < (size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5)) found.push(`${node.textContent.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return { looked, found };
}
