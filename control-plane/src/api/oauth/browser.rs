//! A person's browser: its cookies, and the proof that a form that comes in is one we gave to it.
//!
//! Two cookies, both random, HttpOnly and SameSite=Lax, with `__Host-` and Secure when people reach us by https: one says
//! who is signed in, one belongs to the forms. A form carries a hash of both, which no other site can work out.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{COOKIE, LOCATION, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use maud::{Markup, html};

use super::fields::Fields;
use super::page;
use crate::app::App;
use crate::domain::key::{self, NewKey};
use crate::domain::user::SIGN_IN_MS;
use crate::error::ApiError;
use crate::middleware::ClientIp;
use crate::own_url::own_url;
use crate::store::sign_ins::{self, SignedIn};

/// Says who is signed in.
const SIGN_IN: &str = "signpost_sign_in";

/// Belongs to the forms.
const FORM: &str = "signpost_form";

/// Longest cookie looked at, in bytes; ours are 43.
const MAX_COOKIE: usize = 128;

/// The field of a form that proves it ours.
pub(super) const PROOF: &str = "form";

/// One request of a browser.
#[derive(Debug)]
pub(super) struct Browser {
    /// Where it comes from.
    pub(super) ip: IpAddr,
    /// Where it reached us.
    pub(super) own_url: String,
    sign_in: Option<String>,
    form: Option<String>,
    /// Cookies to be set with the answer.
    set: Vec<String>,
}

impl FromRequestParts<Arc<App>> for Browser {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        let ip = parts.extensions.get::<ClientIp>();
        let mut browser = Self {
            ip: ip.map_or(IpAddr::from([0, 0, 0, 0]), |ip| ip.0),
            own_url: own_url(app, &parts.headers),
            sign_in: None,
            form: None,
            set: Vec::new(),
        };
        browser.sign_in = cookie(&parts.headers, &browser.name(SIGN_IN));
        browser.form = cookie(&parts.headers, &browser.name(FORM));
        Ok(browser)
    }
}

impl Browser {
    /// Who is signed in here.
    pub(super) async fn signed_in(&self, app: &App) -> Result<Option<SignedIn>, ApiError> {
        let Some(secret) = &self.sign_in else {
            return Ok(None);
        };
        let hash = key::hash(secret);
        Ok(sign_ins::get(&app.store, &hash, app.clock.now_ms()).await?)
    }

    /// Signs a user in here, in place of whoever was.
    pub(super) async fn sign_in(&mut self, app: &App, user: i64) -> Result<(), ApiError> {
        self.sign_out(app).await?;
        let secret = NewKey::marked("").map_err(anyhow::Error::new)?;
        let now_ms = app.clock.now_ms();
        let times = (now_ms, now_ms + SIGN_IN_MS);
        sign_ins::add(&app.store, user, &secret, times).await?;
        self.set(SIGN_IN, &secret.secret, SIGN_IN_MS / 1000);
        self.sign_in = Some(secret.secret);
        Ok(())
    }

    /// Signs out whoever is signed in here.
    pub(super) async fn sign_out(&mut self, app: &App) -> Result<(), ApiError> {
        if let Some(secret) = self.sign_in.take() {
            sign_ins::end(&app.store, &key::hash(&secret)).await?;
            self.set(SIGN_IN, "", 0);
        }
        Ok(())
    }

    /// The hidden field of a form.
    pub(super) fn proof_field(&mut self) -> Result<Markup, ApiError> {
        if self.form.is_none() {
            let secret = NewKey::marked("").map_err(anyhow::Error::new)?;
            self.set(FORM, &secret.secret, SIGN_IN_MS / 1000);
            self.form = Some(secret.secret);
        }
        let proof = self.proof().unwrap_or_default();
        Ok(html! { input type="hidden" name=(PROOF) value=(proof); })
    }

    /// Whether this form came from a page that we gave to this browser, signed in as it is.
    pub(super) fn proves(&self, form: &Fields) -> bool {
        self.proof()
            .is_some_and(|proof| key::same(proof.as_bytes(), form.text(PROOF).as_bytes()))
    }

    fn proof(&self) -> Option<String> {
        let form = self.form.as_ref()?;
        let sign_in = self.sign_in.as_deref().unwrap_or_default();
        let hash = key::hash(&format!("form {form} {sign_in}"));
        Some(URL_SAFE_NO_PAD.encode(hash))
    }

    /// A page, with the cookies of this answer.
    pub(super) fn page(
        self,
        status: StatusCode,
        title: &str,
        content: &Markup,
        form_target: Option<&str>,
    ) -> Response {
        self.with_cookies(page::page(status, title, content, form_target))
    }

    /// What a form of somebody else's making gets.
    pub(super) fn forged(self) -> Response {
        let text = "This form is out of date or was not made here. Go back, load the page again and repeat.";
        self.page(
            StatusCode::FORBIDDEN,
            "Nothing was done",
            &page::alert(text),
            None,
        )
    }

    /// To a place of ours or to a registered redirect URI, with the cookies of this answer.
    pub(super) fn to(self, location: &str) -> Response {
        let Ok(location) = HeaderValue::from_str(location) else {
            return self.page(
                StatusCode::BAD_REQUEST,
                "Nothing was done",
                &page::alert("The address to go on to is not a legal one."),
                None,
            );
        };
        let response = (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response();
        self.with_cookies(response)
    }

    fn with_cookies(self, mut response: Response) -> Response {
        for cookie in &self.set {
            if let Ok(value) = HeaderValue::from_str(cookie) {
                response.headers_mut().append(SET_COOKIE, value);
            }
        }
        response
    }

    fn is_https(&self) -> bool {
        self.own_url.starts_with("https://")
    }

    fn name(&self, name: &str) -> String {
        let prefix = if self.is_https() { "__Host-" } else { "" };
        format!("{prefix}{name}")
    }

    fn set(&mut self, name: &str, value: &str, seconds: i64) {
        let secure = if self.is_https() { "; Secure" } else { "" };
        let name = self.name(name);
        self.set.push(format!(
            "{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}"
        ));
    }
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(found, value)| *found == name && !value.is_empty() && value.len() <= MAX_COOKIE)
        .map(|(_, value)| value.to_owned())
}
