const res = await fetch('{{base}}/api/url/add', {
  method: 'POST',
  headers: {
    'Authorization': `Bearer ${process.env.OML_KEY}`,
    'Content-Type': 'application/json',
  },
  body: JSON.stringify({
    url: 'https://example.com/spring-sale-page',
    custom: 'spring-sale',
    utm_source: 'newsletter',
    utm_medium: 'email',
    utm_campaign: 'spring-2026',
  }),
});
const { data } = await res.json();
console.log(data.short_url, data.id);
