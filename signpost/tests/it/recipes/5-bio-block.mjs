const res = await fetch('{{base}}/api/bio/{{bio}}/blocks', {
  method: 'POST',
  headers: {
    'Authorization': `Bearer ${process.env.OML_KEY}`,
    'Content-Type': 'application/json',
  },
  body: JSON.stringify({
    type: 'link',
    title: 'Spring Sale — 30% off',
    url: 'https://example.com/spring-sale',
    icon: 'tag',
    position: 2,
  }),
});
const { data } = await res.json();
console.log('Added block', data.id);
