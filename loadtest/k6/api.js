// The API: of a hundred calls 40 make a link, 30 read one, 20 change one, 10 list. What was changed is read back.
import http from 'k6/http';
import { Counter } from 'k6/metrics';
import { API, headers, makeLinks, scenario, summary, summaryTrendStats } from './lib.js';

const sent = new Counter('sent');
const right = new Counter('right');
const wrong = new Counter('wrong');

export const options = {
  scenarios: { clients: { ...scenario(__ENV.SHAPE || 'steady'), exec: 'call' } },
  thresholds: { wrong: ['count==0'], 'http_req_duration{scenario:clients}': ['p(99)<100'], dropped_iterations: ['count==0'] },
  summaryTrendStats,
};

export function setup() {
  makeLinks();
  const listed = http.get(`${API}/api/urls?limit=100`, { headers }).json('data.urls');
  return { ids: listed.map((link) => link.id) };
}

function ask(method, path, body) {
  const answer = http.request(method, `${API}/api${path}`, body ? JSON.stringify(body) : null, { headers });
  const good = answer.status === 200 && answer.json('error') === 0;
  sent.add(1);
  (good ? right : wrong).add(1);
  return answer;
}

export function call({ ids }) {
  const what = Math.random();
  const id = ids[Math.floor(Math.random() * ids.length)];
  if (what < 0.4) ask('POST', '/url/add', { url: `https://destination.example/${Math.random()}` });
  else if (what < 0.7) ask('GET', `/url/${id}`);
  else if (what < 0.9) ask('PUT', `/url/${id}/update`, { url: `https://destination.example/changed/${Math.random()}` });
  else ask('GET', '/urls?limit=20');
}

export const handleSummary = (data) => summary(data, ['sent', 'right', 'wrong']);
