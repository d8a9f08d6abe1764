window.dataLayer=window.dataLayer||[];function gtag(){window.dataLayer.push(arguments);}
var s=document.createElement('script');s.async=true;
s.src='https://www.googletagmanager.com/gtag/js?id='+encodeURIComponent(tag);document.head.appendChild(s);
gtag('js',new Date());gtag('config',tag);
