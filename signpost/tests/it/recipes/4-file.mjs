import fs from 'node:fs';
import { FormData } from 'undici';

const form = new FormData();
form.append('file', new Blob([fs.readFileSync('{{file}}')]), 'Q2-pricing-deck.pdf');
form.append('name', 'Q2 pricing deck');
form.append('domain', '{{domain}}');

const res = await fetch('{{base}}/api/file/upload', {
  method: 'POST',
  headers: { 'Authorization': `Bearer ${process.env.OML_KEY}` },
  body: form,
});
const { data } = await res.json();
