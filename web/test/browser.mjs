// Opens reports in headless Chromium as a reader would: draws, turns, sorts, downloads, prints; and looks for
// errors, requests, and what a keyboard or a screen reader cannot use (axe-core). Screenshots go to a folder.
// usage: node browser.mjs SHOTS REPORT.html COMPARISON.html
import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [shots, report, comparison] = process.argv.slice(2).map(name => path.resolve(name));
const axe = fs.readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const executablePath = process.env.CHROMIUM ??
  ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(name => fs.existsSync(name));
if (!executablePath) {
  console.log("SKIPPED: no Chromium here; scripts/setup installs it, or name one in CHROMIUM");
  process.exit(77);
}
fs.mkdirSync(shots, { recursive: true });
const browser = await chromium.launch({
  executablePath,
  chromiumSandbox: false,  // refuses to run as root otherwise
  args: ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-dev-shm-usage"],
});

/// Chromium's advice on speed, which a machine without a graphics card and axe-core's own looking bring about.
const advice = /GPU stall due to ReadPixels|willReadFrequently/;

/// Opens a page, lets `look` use it, and holds what every page is held to.
async function visit(file, options, look) {
  const context = await browser.newContext({ reducedMotion: "reduce", ...options });
  context.setDefaultTimeout(90_000);  // a busy machine is no error
  const page = await context.newPage(), problems = [], requests = [], url = pathToFileURL(file).href;
  page.on("console", message => { if (["error", "warning"].includes(message.type()) && !advice.test(message.text())) problems.push(message.text()); });
  page.on("pageerror", error => problems.push(String(error)));
  page.on("request", request => { if (!/^(data|blob):/.test(request.url()) && request.url() !== url) requests.push(request.url()); });
  await page.goto(url);
  await page.waitForFunction(() => document.documentElement.dataset.drawn);
  await look(page);
  const seen = await page.evaluate(() => ({
    charts: document.querySelectorAll(".chart").length,
    empty: [...document.querySelectorAll(".chart")].filter(chart => !chart.querySelector("svg .trace, svg .scatterlayer path, .gl-container canvas")).map(chart => chart.id),
    silent: [...document.querySelectorAll(".chart")].filter(chart => !chart.previousElementSibling?.matches("p.read") || !chart.nextElementSibling?.querySelector("button.download")).map(chart => chart.id),
    wide: document.documentElement.scrollWidth > innerWidth + 1,
    resources: performance.getEntriesByType("resource").map(entry => entry.name).filter(name => !/^(data|blob):/.test(name)),
  }));
  assert.ok(seen.charts > 2, "the page has charts");
  assert.deepEqual(seen.empty, [], "every chart is drawn");
  assert.deepEqual(seen.silent, [], "every chart has a sentence and a download button");
  assert.equal(seen.wide, false, "the page does not scroll sideways");
  assert.deepEqual(problems, [], "the console holds no error and no warning");
  assert.deepEqual([...requests, ...seen.resources], [], "no request leaves the file");
  await context.close();
  return seen;
}
/// The page from its top, a window's height a picture, `most` of them.
async function picture(page, name, most = 20) {
  const { height, step } = await page.evaluate(() => ({ height: document.documentElement.scrollHeight, step: innerHeight }));
  for (let i = 0; i * step < height && i < most; ++i) {
    await page.evaluate(y => scrollTo(0, y), i * step);
    await page.screenshot({ path: path.join(shots, `${name}-${String(i + 1).padStart(2, "0")}.jpg`), type: "jpeg", quality: 80 });
  }
  await page.evaluate(() => scrollTo(0, 0));
}

/// What axe-core finds against WCAG 2 A and AA and good practice, outside of the charts' own drawings.
async function accessible(page, rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]) {
  await page.evaluate(axe);
  const found = await page.evaluate(runOnly => axe.run({ exclude: [[".chart .svg-container"]] }, { runOnly, resultTypes: ["violations"] }), rules);
  assert.deepEqual(found.violations.map(v => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map(n => n.html.slice(0, 160)).join(" | ")}`), []);
}

/// Drags the 3-D landscape and gives its camera before and after.
async function turn(page) {
  const scene = page.locator(".chart:has(.gl-container canvas)").first();
  await scene.scrollIntoViewIfNeeded();
  const camera = () => scene.evaluate(chart => chart._fullLayout.scene._scene.getCamera().eye);
  const box = await scene.boundingBox(), before = await camera(), x = box.x + box.width / 2, y = box.y + box.height / 2;
  await page.mouse.move(x, y);
  await page.mouse.down();
  for (let step = 1; step <= 4; ++step) await page.mouse.move(x + 30 * step, y + 4 * step);
  await page.mouse.up();
  await page.waitForTimeout(200);
  return [before, await camera()];
}

async function hovers(page) {
  const chart = page.locator(".chart:has(svg .scatterlayer .point)").first();
  await chart.scrollIntoViewIfNeeded();
  const box = await chart.locator(".scatterlayer .point").nth(1).boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2, { steps: 3 });
  await chart.locator(".hoverlayer .hovertext").first().waitFor();
}

async function sorts(page) {
  const table = page.locator("section#layers table"), column = 3;
  const head = table.locator("thead th").nth(column);
  const cells = async () => (await table.locator(`tbody tr > :nth-child(${column + 1})`).allTextContents()).map(Number);
  await head.locator("button").click();
  const up = await cells();
  assert.equal(await head.getAttribute("aria-sort"), "ascending");
  await page.keyboard.press("Enter");  // the button has the focus: the keyboard sorts as well
  assert.equal(await head.getAttribute("aria-sort"), "descending");
  assert.ok(up.length > 3 && new Set(up).size > 1);
  assert.deepEqual(up, [...up].sort((a, b) => a - b));
  assert.deepEqual(await cells(), [...up].reverse());
}

async function downloads(page) {
  const waiting = page.waitForEvent("download");
  await page.locator("button.download").first().click();
  const download = await waiting, text = fs.readFileSync(await download.path(), "utf8");
  assert.match(download.suggestedFilename(), /^[a-z0-9-]+\.csv$/);
  assert.ok(text.split("\n").length > 5, "a downloaded chart has rows");
}

const desk = { viewport: { width: 1200, height: 2400 } };
const timed = async (name, work) => { const begin = Date.now(); await work(); console.log(`${name}: ${Date.now() - begin} ms`); };
try {
  await timed("light", async () => { await visit(report, desk, async page => {
    await picture(page, "light");
    await page.keyboard.press("Tab");
    assert.match(await page.evaluate(() => document.activeElement.textContent), /Skip/, "the first Tab offers to skip to the report");
    const [before, after] = await turn(page);
    assert.ok(Math.hypot(after.x - before.x, after.y - before.y) > 0.3, "dragging turns the landscape");
    await hovers(page);
    await sorts(page);
    await downloads(page);
    await accessible(page);
    await page.pdf({ path: path.join(shots, "print.pdf"), format: "A4" });
    await page.emulateMedia({ colorScheme: "dark" });  // a reader's screen changes at dusk, the page with it
    await accessible(page, ["color-contrast"]);  // the rest is as by day
    await picture(page, "dark", 2);
  }); });
  await timed("phone", () => visit(report, { viewport: { width: 390, height: 2400 }, isMobile: true, hasTouch: true }, page => picture(page, "phone", 4)));
  await timed("comparison", async () => {
    const both = await visit(comparison, { viewport: { width: 1600, height: 2400 } }, async page => { await accessible(page); await picture(page, "comparison", 2); });
    assert.equal(both.charts % 2, 0, "both models' charts are there");
  });
} finally {
  await browser.close();
}
