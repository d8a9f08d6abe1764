(function(){var link=document.getElementById('go'),gone=false;
function go(){if(!gone){gone=true;location.replace(link.href)}}
addEventListener('load',function(){setTimeout(go,100)});setTimeout(go,1000)})();
