const res = await fetch('{{base}}/api/qr/add', {
  method: 'POST',
  headers: {
    'Authorization': `Bearer ${process.env.OML_KEY}`,
    'Content-Type': 'application/json',
  },
  body: JSON.stringify({
    name: 'Q2 menu',
    type: 'dynamic',
    url: 'https://example.com/menu',
    size: 600,
    foreground: '#07111F',
    background: '#FFFFFF',
    format: 'png',
  }),
});
const { data } = await res.json();
