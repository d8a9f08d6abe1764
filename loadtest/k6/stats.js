// Statistics: each call asks for one link and another range of days.
import http from 'k6/http';
import { Counter } from 'k6/metrics';
import { API, PROXY, BROWSER, headers, makeLinks, scenario, summary, summaryTrendStats } from './lib.js';

const sent = new Counter('sent');
const right = new Counter('right');
const wrong = new Counter('wrong');
const redirects = new Counter('redirects');

export const options = {
  scenarios: { readers: { ...scenario(__ENV.SHAPE || 'steady'), exec: 'read' } },
  thresholds: { wrong: ['count==0'], 'http_req_duration{scenario:readers}': ['p(99)<250'], dropped_iterations: ['count==0'] },
  summaryTrendStats,
};

export function setup() {
  for (const slug of makeLinks().slice(0, 100)) {
    const answer = http.get(`${PROXY}/${slug}`, { redirects: 0, headers: { 'User-Agent': BROWSER } });
    if (answer.status === 302) redirects.add(1);
  }
  const listed = http.get(`${API}/api/urls?limit=100`, { headers }).json('data.urls');
  return { ids: listed.map((link) => link.id) };
}

const day = (ago) => new Date(Date.now() - ago * 86400000).toISOString().slice(0, 10);

export function read({ ids }) {
  const id = ids[Math.floor(Math.random() * ids.length)];
  const from = Math.floor(Math.random() * 90);
  const answer = http.get(`${API}/api/url/${id}/stats?from=${day(from)}&to=${day(0)}`, { headers });
  sent.add(1);
  (answer.status === 200 && answer.json('error') === 0 ? right : wrong).add(1);
}

export const handleSummary = (data) => summary(data, ['sent', 'right', 'wrong', 'redirects']);
