// Draws [data-plot]: the course of a KPI with its objective and, hatched, what was unknown. Colours are the page's own.
(() => {
  "use strict";
  const probe = document.createElement("i");
  probe.hidden = true;
  document.body.append(probe);
  const colour = (name) => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; };
  const charts = [];
  function hatch(ink) {
    const tile = document.createElement("canvas");
    tile.width = tile.height = 8;
    const pen = tile.getContext("2d");
    pen.strokeStyle = ink; pen.globalAlpha = 0.45; pen.lineWidth = 1.2;
    pen.beginPath();
    for (const x of [-8, 0, 8]) { pen.moveTo(x, 8); pen.lineTo(x + 8, 0); }
    pen.stroke();
    return { image: tile, repeat: "repeat" };
  }

  function draw(box) {
    const data = JSON.parse(box.dataset.plot);
    const chart = echarts.init(box, null, { renderer: "svg" });
    charts.push([box, chart]);
    paint(chart, data);
    new ResizeObserver(() => chart.resize()).observe(box);
  }
  function paint(chart, data) {
    const ink = colour("--ink-3"), line = colour("--line"), accent = colour("--accent"), unknown = colour("--unknown");
    const values = data.points.map((p) => p[1]).filter((v) => v !== null).concat(data.objective);
    const low = Math.min(...values), high = Math.max(...values), pad = (high - low || Math.abs(high) || 1) * 0.15;
    const digits = Math.max(0, Math.min(6, 2 - Math.floor(Math.log10(high - low || 1))));
    const say = (v) => `${Number(v.toFixed(digits))} ${data.unit}`.trim();
    chart.setOption({
      animation: false,
      grid: { left: 8, right: 16, top: 24, bottom: 4, containLabel: true },
      textStyle: { fontFamily: "system-ui", fontSize: 12, color: ink },
      tooltip: { trigger: "axis", renderMode: "richText", backgroundColor: colour("--surface"), borderColor: line, borderWidth: 1, textStyle: { color: colour("--ink"), fontSize: 12 },
        formatter: ([point]) => point ? `${new Date(point.value[0]).toLocaleString()}\n${point.value[1] === null ? "unknown" : say(point.value[1])}` : "" },
      xAxis: { type: "time", axisLine: { lineStyle: { color: line } }, axisTick: { show: false }, axisLabel: { color: ink, hideOverlap: true }, splitLine: { show: false } },
      yAxis: { type: "value", min: low - pad, max: high + pad, axisLabel: { color: ink, showMinLabel: false, showMaxLabel: false, formatter: say }, splitLine: { lineStyle: { color: line } } },
      series: [{
        type: "line", step: "end", data: data.points, showSymbol: data.points.length < 3, connectNulls: false, lineStyle: { color: accent, width: 1.5 }, itemStyle: { color: accent },
        markLine: { silent: true, symbol: "none", data: [{ yAxis: data.objective }], lineStyle: { color: colour("--ink"), type: [6, 4], width: 1 }, label: { formatter: data.promise, position: "insideEndTop", color: colour("--ink"), fontSize: 12 } },
        markArea: { silent: true, itemStyle: { color: hatch(unknown) }, data: data.gaps.map(([a, b]) => [{ xAxis: a }, { xAxis: b }]) },
      }],
    }, true);
  }
  document.querySelectorAll("[data-plot]").forEach(draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach(([box, chart]) => paint(chart, JSON.parse(box.dataset.plot))));
})();
