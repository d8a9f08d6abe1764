//! ClickHouse's HTTP interface: what of a request is query, data, parameter or setting, and how answers look.
//!
//! Follows ClickHouse's server where clients notice. Differences, on purpose: no sessions (each request is its own, also
//! one that names a session: what one would keep, by SET and in temporary tables, is refused), no
//! compression either way (the client is on this machine), `wait_end_of_query` and progress headers are taken and
//! ignored, an unknown URL argument is an error unless it is a setting that may be changed.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use metrics::counter;

use crate::config::Config;
use crate::error::{Exception, Kind};
use crate::metrics as m;
use crate::query::{Answer, Job, Runner, input_channel};
use crate::sql::{Asker, MAX_QUERY_BYTES, Plan, Policy};
use crate::users::{Role, Users};

mod answer;
mod arguments;
mod host;
mod multipart;
mod source;

use answer::{Head, ResultBody};
use arguments::Arguments;
use source::Source;

pub(crate) type Body = BoxBody<Bytes, io::Error>;

/// Largest multipart form, in bytes: a query and its parameters.
const MAX_FORM_BYTES: usize = 4 << 20;
/// Formats where a query and its client name none, as in ClickHouse.
const DEFAULT_FORMAT: &str = "TabSeparated";
const DEFAULT_INSERT_FORMAT: &str = "Values";

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Server {
    runner: Arc<Runner>,
    policy: Policy,
    users: Users,
    hosts: host::Hosts,
}

impl Server {
    pub(crate) fn new(runner: Arc<Runner>, users: Users, config: &Config) -> Self {
        Self {
            policy: Policy::new(runner.engine().table_functions()),
            runner,
            users,
            hosts: host::Hosts::new(config.hosts.clone()),
        }
    }

    /// Answers one request; errors are answers too.
    pub(crate) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let mut head = Head::new();
        let response = match self.route(request, &mut head).await {
            Ok(response) => response,
            Err(exception) => head.failed(&exception, self.runner.engine().version()),
        };
        Ok(response)
    }

    async fn route(
        &self,
        request: Request<Incoming>,
        head: &mut Head,
    ) -> Result<Response<Body>, Exception> {
        let host = request.headers().get(HOST).map(http::HeaderValue::as_bytes);
        if !self.hosts.allows(
            request.uri().authority().map(http::uri::Authority::as_str),
            host,
        ) {
            counter!(m::REFUSED, "reason" => "host").increment(1);
            return Err(Exception::new(
                Kind::AccessDenied,
                "this Host is not served: use localhost or an IP address, or name it in SIGNPOST_CLICKHOUSE_HOSTS",
            ));
        }
        match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/ping") => Ok(head.plain(StatusCode::OK, "Ok.\n")),
            (&Method::GET | &Method::HEAD | &Method::POST, "/") => self.query(request, head).await,
            (_, "/" | "/ping") => {
                Ok(head.plain(StatusCode::METHOD_NOT_ALLOWED, "allowed: GET, HEAD, POST\n"))
            }
            _ => {
                counter!(m::REFUSED, "reason" => "path").increment(1);
                Ok(head.plain(
                    StatusCode::NOT_FOUND,
                    "There is no handle here; queries go to /, see also /ping\n",
                ))
            }
        }
    }

    async fn query(
        &self,
        request: Request<Incoming>,
        head: &mut Head,
    ) -> Result<Response<Body>, Exception> {
        let (parts, body) = request.into_parts();
        let reading = parts.method != Method::POST;
        let mut arguments = Arguments::from_url(parts.uri.query().unwrap_or_default())?;
        if reading && arguments.query.is_empty() {
            return Ok(head.plain(StatusCode::OK, "Ok.\n"));
        }
        arguments.add_headers(&parts.headers)?;
        head.set_query_id(arguments.query_id.take())?;
        let Some(role) = self.users.check(&arguments.user, &arguments.password) else {
            counter!(m::REFUSED, "reason" => "password").increment(1);
            return Err(Exception::new(
                Kind::AuthenticationFailed,
                format_args!(
                    "{}: Authentication failed: password is incorrect, or there is no user with such name",
                    arguments.user
                ),
            ));
        };
        refuse_compression(&arguments, &parts.headers)?;

        let mut body = Source::new(body);
        let content_type = parts
            .headers
            .get(CONTENT_TYPE)
            .map(http::HeaderValue::as_bytes)
            .unwrap_or_default();
        if let Some(boundary) = multipart::boundary(content_type) {
            let form = body.collect(MAX_FORM_BYTES).await?;
            for (name, value) in multipart::fields(&form, &boundary)? {
                arguments.add(&name, value)?;
            }
            body = Source::empty();
        }
        let read_only = reading || role == Role::Analyst || arguments.read_only;
        arguments.check_settings(role)?;

        let asker = Asker {
            role,
            read_only,
            params: &arguments.params,
        };
        let (mut text, plan) = self.plan(&arguments.query, &mut body, asker).await?;
        let format = arguments.format.take();
        let job_format = match &plan {
            Plan::Insert { .. } => format.unwrap_or_else(|| DEFAULT_INSERT_FORMAT.to_owned()),
            Plan::Rows { .. } | Plan::Plain { .. } => {
                format.unwrap_or_else(|| DEFAULT_FORMAT.to_owned())
            }
        };
        if let Plan::Rows { format, .. } | Plan::Plain { format, .. } = &plan {
            head.set_format(format.as_deref().unwrap_or(&job_format));
        }
        let mut job = Job {
            sql: Vec::new(),
            plan,
            role,
            read_only,
            database: arguments.database.take(),
            format: job_format,
            settings: std::mem::take(&mut arguments.settings),
            params: std::mem::take(&mut arguments.params),
            input: None,
        };
        let answer = if let Plan::Insert { data_at, .. } = job.plan {
            let inline = text.split_off(data_at.min(text.len()));
            job.sql = text.to_vec();
            let (send, receive) = input_channel();
            job.input = Some(receive);
            let (answer, ()) = tokio::join!(self.runner.run(job), body.pump(inline.freeze(), send));
            answer?
        } else {
            job.sql = text.to_vec();
            self.runner.run(job).await?
        };
        Ok(self.answered(head, answer))
    }

    fn answered(&self, head: &Head, answer: Answer) -> Response<Body> {
        let version = self.runner.engine().version().to_owned();
        let tag = head.tag().to_owned();
        let Answer {
            progress,
            elapsed,
            pieces,
            guard,
        } = answer;
        head.succeeded(
            progress,
            elapsed,
            ResultBody::new(pieces, guard, tag, version).boxed(),
        )
    }

    /// The query's text (with the beginning of an INSERT's data, perhaps) and how to run it. The URL's part comes
    /// first, then the body's; but when the URL's is a whole INSERT, the body is data alone.
    async fn plan(
        &self,
        url: &str,
        body: &mut Source,
        asker: Asker<'_>,
    ) -> Result<(BytesMut, Plan), Exception> {
        let mut text = BytesMut::from(url.as_bytes());
        let refused = |refusal: crate::sql::Refusal| {
            counter!(m::REFUSED, "reason" => refusal.reason).increment(1);
            Exception::from(refusal)
        };
        if text.len() > MAX_QUERY_BYTES {
            return Err(too_large());
        }
        if !url.is_empty() {
            match self.policy.plan(&text, asker) {
                Ok(
                    plan @ Plan::Insert {
                        format: Some(_),
                        data_at,
                        ..
                    },
                ) => {
                    // A value at the end of the URL's part and the first of the body are two lines.
                    if data_at < text.len() && !text.ends_with(b"\n") && !body.is_end() {
                        text.extend_from_slice(b"\n");
                    }
                    return Ok((text, plan));
                }
                Ok(plan @ Plan::Insert { .. }) => {
                    // No format named, so it may follow in the body; else the body is data in the default format.
                    let first = body.peek().await?;
                    if !first.trim_ascii_start().get(..6).is_some_and(|w| {
                        w.eq_ignore_ascii_case(b"FORMAT")
                            || w.eq_ignore_ascii_case(b"VALUES")
                            || w.eq_ignore_ascii_case(b"SELECT")
                    }) {
                        return Ok((text, plan));
                    }
                }
                Ok(plan) if body.is_end() => return Ok((text, plan)),
                Err(refusal) if body.is_end() => return Err(refused(refusal)),
                Ok(_) | Err(_) => {}
            }
            text.extend_from_slice(b"\n");
        }
        let whole = body.fill(&mut text, MAX_QUERY_BYTES).await?;
        match self.policy.plan(&text, asker) {
            // Cut off, so only an INSERT whose data has begun is known as a whole.
            Ok(
                plan @ Plan::Insert {
                    format: Some(_), ..
                },
            ) => Ok((text, plan)),
            _ if !whole => Err(too_large()),
            Ok(plan) => Ok((text, plan)),
            Err(refusal) => Err(refused(refusal)),
        }
    }
}

fn too_large() -> Exception {
    counter!(m::REFUSED, "reason" => "too_large").increment(1);
    Exception::new(
        Kind::QueryIsTooLarge,
        format_args!(
            "the query's text is larger than {MAX_QUERY_BYTES} bytes (data of an INSERT does not count)"
        ),
    )
}

fn refuse_compression(arguments: &Arguments, headers: &http::HeaderMap) -> Result<(), Exception> {
    let encoded = headers
        .get(CONTENT_ENCODING)
        .is_some_and(|v| !v.as_bytes().eq_ignore_ascii_case(b"identity"));
    if encoded || arguments.compressed {
        counter!(m::REFUSED, "reason" => "compression").increment(1);
        return Err(Exception::new(
            Kind::NotImplemented,
            "compression is not supported here: send the body as it is, without compress, decompress and Content-Encoding",
        ));
    }
    Ok(())
}

/// A body known as a whole.
fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into())
        .map_err(|never| match never {})
        .boxed()
}
