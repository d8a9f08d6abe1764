const params = new URLSearchParams({ from: '2026-05-01', to: '2026-05-31' });
const res = await fetch(
  `{{base}}/api/url/{{link}}/stats?${params}`,
  { headers: { 'Authorization': `Bearer ${process.env.OML_KEY}` } }
);
const { data } = await res.json();
