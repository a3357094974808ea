/* Tables that are long enough are sorted by a click on a head and filtered by a word. Without scripts they are as printed. */
(() => {
  const number = (text) => {
    const found = /^[<>]?\s*([+\-−]?[\d.,]+)/.exec(text);
    return found ? parseFloat(found[1].replace('−', '-').replace(/,/g, '')) : NaN;
  };
  const shown = (row, place) => {
    const cell = row.cells[place];
    return cell ? (cell.querySelector('.main') || cell).textContent.trim() : '';
  };
  for (const table of document.querySelectorAll('.scroll > table:not(.pictures):not(.stack)')) {
    const head = table.tHead && table.tHead.rows[0], body = table.tBodies[0];
    if (!head || table.tBodies.length !== 1 || body.rows.length < 6 || body.querySelector('[rowspan]')) continue;
    const rows = [...body.rows], title = table.caption ? table.caption.textContent : 'this table';
    [...head.cells].forEach((cell, place) => {
      if (cell.tagName !== 'TH') return;
      const button = document.createElement('button');
      button.type = 'button';
      button.append(...[...cell.childNodes].filter((node) => node.className !== 'here'));
      cell.prepend(button);
      button.addEventListener('click', () => {
        const down = cell.getAttribute('aria-sort') === 'ascending';
        for (const other of head.cells) other.removeAttribute('aria-sort');
        cell.setAttribute('aria-sort', down ? 'descending' : 'ascending');
        const keys = new Map(rows.map((row) => [row, shown(row, place)]));
        const sign = down ? -1 : 1;
        body.append(...[...rows].sort((one, two) => {
          const [a, b] = [keys.get(one), keys.get(two)], [x, y] = [number(a), number(b)];
          if (isNaN(x) !== isNaN(y)) return isNaN(x) ? 1 : -1;
          return sign * (isNaN(x) ? a.localeCompare(b) : x - y);
        }));
      });
    });
    if (rows.length < 12) continue;
    const field = document.createElement('input');
    field.type = 'search';
    field.className = 'filter';
    field.placeholder = 'Filter';
    field.setAttribute('aria-label', `Filter the rows of: ${title}`);
    field.addEventListener('input', () => {
      const word = field.value.trim().toLowerCase();
      for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(word);
    });
    table.parentNode.before(field);
  }
})();
