var id=/^[0-9]+(\/|$)/.test(tag)?'AW-'+tag:tag,account=id.split('/')[0];
window.dataLayer=window.dataLayer||[];function gtag(){window.dataLayer.push(arguments);}
var s=document.createElement('script');s.async=true;
s.src='https://www.googletagmanager.com/gtag/js?id='+encodeURIComponent(account);document.head.appendChild(s);
gtag('js',new Date());gtag('config',account);
if(id!==account)gtag('event','conversion',{send_to:id});
