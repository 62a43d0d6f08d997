/* Draws every <figure class="chart" data-chart="id of a json_script">: {"kind", "labels", "series": [{"name","values","stack"}]}.
   The numbers stand in a table on the same page too. Colours come from tokens.css and follow the theme. */
"use strict";
{
    const charts = [];

    /* A custom property holds light-dark() as it was written; only a real colour property resolves it. */
    const colour = (figure, name) => {
        const probe = figure.appendChild(document.createElement("i"));
        probe.style.color = `var(${name})`;
        const value = getComputedStyle(probe).color;
        probe.remove();
        return value;
    };

    const draw = (figure) => {
        const wanted = JSON.parse(document.getElementById(figure.dataset.chart).textContent);
        const grid = colour(figure, "--hairline-color");
        const text = colour(figure, "--body-quiet-color");
        charts.push(new Chart(figure.querySelector("canvas"), {
            type: wanted.kind,
            data: {
                labels: wanted.labels,
                datasets: wanted.series.map((series, index) => ({
                    label: series.name,
                    data: series.values,
                    backgroundColor: colour(figure, `--cs-series-${index + 1}`),
                    borderColor: colour(figure, `--cs-series-${index + 1}`),
                    borderWidth: wanted.kind === "line" ? 2 : 0,
                    pointRadius: wanted.labels.length > 40 ? 0 : 2,
                    maxBarThickness: 28,
                    borderRadius: 2,
                })),
            },
            options: {
                animation: false,
                responsive: true,
                maintainAspectRatio: false,
                interaction: { mode: "index", intersect: false },
                plugins: { legend: { position: "bottom", labels: { color: text, boxWidth: 12, boxHeight: 12 } } },
                scales: {
                    x: { stacked: wanted.stacked, grid: { display: false }, ticks: { color: text, maxRotation: 0, autoSkipPadding: 16 } },
                    y: { stacked: wanted.stacked, beginAtZero: true, grid: { color: grid }, border: { display: false }, ticks: { color: text, precision: 0 } },
                },
            },
        }));
    };

    const drawAll = () => {
        charts.splice(0).forEach((chart) => chart.destroy());
        document.querySelectorAll("figure[data-chart]").forEach(draw);
    };
    drawAll();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
    new MutationObserver(drawAll).observe(document.documentElement, { attributeFilter: ["data-theme"] });
}
