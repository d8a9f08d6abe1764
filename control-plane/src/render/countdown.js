(function(){var go=document.getElementById('go'),box=document.getElementById('wait'),shown=document.getElementById('left'),
left=Number(box.getAttribute('data-seconds'));box.hidden=false;
var timer=setInterval(function(){left-=1;if(left>0){shown.textContent=left}else{clearInterval(timer);location.replace(go.href)}},1000);
document.getElementById('stop').addEventListener('click',function(){clearInterval(timer);box.hidden=true;go.focus()})})();
