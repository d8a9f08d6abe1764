var ids=tag.split(/[\/:]/);
window.adroll_adv_id=ids[0];window.adroll_pix_id=ids[1]||'';window.adroll_version='2.0';
(function(w,d,e,o,a){w.__adroll_loaded=true;w.adroll=w.adroll||[];
w.adroll.f=['setProperties','identify','track','identify_email','get_cookie'];
for(a=0;a<w.adroll.f.length;a++){w.adroll[w.adroll.f[a]]=w.adroll[w.adroll.f[a]]||(function(n){return function(){w.adroll.push([n,arguments])}})(w.adroll.f[a])}
e=d.createElement('script');o=d.getElementsByTagName('script')[0];e.async=1;
e.src='https://s.adroll.com/j/'+encodeURIComponent(ids[0])+'/roundtrip.js';o.parentNode.insertBefore(e,o);})(window,document);
window.adroll.track('pageView');
