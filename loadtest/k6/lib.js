// What the scripts share: settings, shapes of load, links, visitors.
import http from 'k6/http';
import { fail } from 'k6';

export const PROXY = __ENV.PROXY_URL || 'http://127.0.0.1:8080';
export const API = __ENV.API_URL || 'http://127.0.0.1:8081';
const KEY = __ENV.API_KEY || fail('API_KEY is not set');
const RATE = Number(__ENV.RATE || 500);
const SECONDS = Number(__ENV.DURATION || 30);
const LINKS = Number(__ENV.LINKS || 1000);

export const headers = { Authorization: `Bearer ${KEY}`, 'Content-Type': 'application/json' };

// Requests a second over time. All are open loop: a slow answer does not slow the load down.
const shapes = {
  steady: [[RATE, SECONDS]],
  ramp: [[RATE / 10, 0], [RATE, SECONDS]],
  spike: [[RATE / 10, SECONDS / 3], [RATE, 1], [RATE, SECONDS / 3], [RATE / 10, 1], [RATE / 10, SECONDS / 3]],
  soak: [[RATE / 2, 5], [RATE / 2, SECONDS]],
};

export function scenario(name) {
  const stages = shapes[name] || fail(`SHAPE ${name} is none of ${Object.keys(shapes).join(', ')}`);
  return {
    executor: 'ramping-arrival-rate',
    startRate: Math.max(1, Math.round(stages[0][0])),
    timeUnit: '1s',
    preAllocatedVUs: 64,
    maxVUs: 1024,
    stages: stages.map(([target, seconds]) => ({
      target: Math.max(1, Math.round(target)),
      duration: `${Math.round(seconds)}s`,
    })),
  };
}

// Makes the links of this run, a thousand a call.
export function makeLinks() {
  const prefix = `k6-${Date.now().toString(36)}-`;
  const slugs = [];
  for (let from = 0; from < LINKS; from += 1000) {
    const urls = [];
    for (let i = from; i < Math.min(LINKS, from + 1000); i += 1) {
      slugs.push(`${prefix}${i}`);
      urls.push({ custom: `${prefix}${i}`, url: `https://destination.example/articles/${i}` });
    }
    const answer = http.post(`${API}/api/urls/bulk`, JSON.stringify({ urls }), { headers });
    if (answer.status !== 200 || !answer.json('results').every((row) => row.error === 0)) {
      fail(`links were refused: ${answer.status} ${answer.body}`);
    }
  }
  // A link is live within 100 ms; HEAD is not counted.
  const last = slugs[slugs.length - 1];
  for (let i = 0; i < 100; i += 1) {
    if (http.head(`${PROXY}/${last}`, { redirects: 0 }).status === 302) return slugs;
  }
  return fail('links do not go live');
}

// Zipf with exponent 1 over n: the most frequent is asked for n / H(n) times as often as the rarest.
export function zipf(n) {
  const sums = [];
  let sum = 0;
  for (let i = 1; i <= n; i += 1) {
    sum += 1 / i;
    sums.push(sum);
  }
  return () => {
    const drawn = Math.random() * sum;
    let low = 0;
    let high = n - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sums[middle] < drawn) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

export const BROWSER =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36';
export const BOT = 'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)';

// One `name value` a line for the verdict, and a short report for people.
export function summary(data, counters) {
  const count = (name) => (data.metrics[name] ? data.metrics[name].values.count : 0);
  const time = data.metrics.http_req_duration.values;
  const lines = counters.map((name) => `${name} ${count(name)}`);
  lines.push(`late ${count('dropped_iterations')}`);
  const failed = Object.entries(data.metrics)
    .flatMap(([name, metric]) => Object.entries(metric.thresholds || {}).map(([text, t]) => [`${name}: ${text}`, t.ok]))
    .filter(([, ok]) => !ok)
    .map(([text]) => `threshold missed: ${text}`);
  const report = [
    ...lines,
    `p50 ${time.med.toFixed(2)} ms, p95 ${time['p(95)'].toFixed(2)} ms, p99 ${time['p(99)'].toFixed(2)} ms, most ${time.max.toFixed(1)} ms`,
    ...failed,
    '',
  ].join('\n');
  return { stdout: report, [__ENV.SUMMARY || 'k6-summary.txt']: `${lines.join('\n')}\n` };
}

export const summaryTrendStats = ['med', 'p(95)', 'p(99)', 'max'];
