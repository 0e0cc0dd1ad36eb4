//! The tab Edit: all fields of an app, each with its error. Saving stores a new version.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use gateway_domain::Refusal;
use gateway_domain::apps::CurrentApp;
use gateway_domain::apps::store::{self, StoreRefusal};
use shared::apps::FetchUrls;
use shared::tools::FILE_READERS;

use super::definition::{Draft, FieldRow};
use super::snippets::sample_inputs;
use super::{Header, Tab};
use crate::console::app_refusal::store_refusal;
use crate::console::error_page::quota_sentence;
use crate::console::form::SignedForm;
use crate::console::owned::OwnApp;
use crate::console::page::{Frame, see_other, show, show_as};
use crate::console::session::Visitor;
use crate::console::shown::json_text;
use crate::context::Context;
use crate::http::ApiError;

#[derive(Template)]
#[template(path = "app/edit.html")]
struct Page {
    frame: Frame,
    app: Header,
    draft: Draft,
    /// The version that the editor started from.
    base: i32,
    /// The inputs of the preview.
    samples: String,
    models: Vec<(String, String)>,
    /// The names of the search providers.
    providers: Vec<String>,
    error: Option<String>,
    kinds: [&'static str; 5],
    /// An empty row for one more input field.
    blank: FieldRow,
    readers: String,
    /// The values of `fetch.urls` with their labels.
    fetch_urls: [(&'static str, &'static str); 3],
}

impl Page {
    /// Whether the installation has this model, or the app names none.
    fn knows(&self, model: &str) -> bool {
        model.is_empty() || self.models.iter().any(|(id, _)| id == model)
    }

    /// Whether the installation has this search provider, or the app names none.
    fn knows_provider(&self, name: &str) -> bool {
        name.is_empty() || self.providers.iter().any(|known| known == name)
    }

    fn new(visitor: &Visitor, app: &CurrentApp, context: &Context, draft: Draft) -> Self {
        let header = Header::new(app, Tab::Edit);
        Self {
            frame: header.frame(visitor),
            app: header,
            draft,
            base: app.version,
            samples: json_text(&sample_inputs(&app.definition.inputs)),
            models: context.models.all().iter().map(|model| (model.id.clone(), model.label())).collect(),
            providers: context.search.names().map(str::to_owned).collect(),
            error: None,
            kinds: ["text", "number", "boolean", "select", "file"],
            blank: FieldRow { kind: "text".to_owned(), ..FieldRow::default() },
            readers: FILE_READERS.join(", "),
            fetch_urls: FetchUrls::ALL.map(|urls| (urls.as_str(), label(urls))),
        }
    }
}

const fn label(urls: FetchUrls) -> &'static str {
    match urls {
        FetchUrls::Any => "any URL at these hosts",
        FetchUrls::Listed => "any URL, and the list of hosts must not be empty",
        FetchUrls::Known => {
            "only URLs from the instructions, the inputs, search results and pages that were fetched"
        }
    }
}

/// GET /apps/{appId}/edit
pub(crate) async fn form(
    OwnApp { visitor, app }: OwnApp,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    const NOTICES: [(&str, &str); 4] = [
        ("created", "App created. Run it, or change it here."),
        ("saved", "Saved as a new version. Runs that have started keep their version."),
        ("archived", "App archived. Its runs are kept."),
        ("restored", "App restored."),
    ];
    let mut page = Page::new(&visitor, &app, &context, Draft::of(&app.definition));
    page.frame = page.frame.with_notice(&request, &NOTICES);
    show(&page)
}

/// POST /apps/{appId}/edit
pub(crate) async fn handle(
    SignedForm { sender: OwnApp { visitor, app }, form }: SignedForm<OwnApp>,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let base: i32 = form.text("base").parse().unwrap_or(app.version);
    let mut draft = Draft::read(&form);
    // `base` stays the version that the user saw: a form that is sent again must not overwrite a later
    // version.
    let refused_as = |status: StatusCode, draft: Draft, base: i32, error: String| {
        let page = Page::new(&visitor, &app, &context, draft);
        let page = Page { base, samples: form.text("samples").to_owned(), error: Some(error), ..page };
        show_as(status, &page)
    };
    let refused = |draft, base, error| refused_as(StatusCode::BAD_REQUEST, draft, base, error);
    let plan = &visitor.session.plan;
    let checks = context.checks(visitor.user());
    let checked = draft.check(checks, (plan, context.plans.get(plan))).await;
    let Some(definition) = checked.map_err(Refusal::from)? else {
        let error = draft.summary();
        return refused(draft, base, error);
    };
    let (user, by, id, quotas) = (visitor.user(), visitor.actor(), app.id, context.plans.quotas(plan));
    match store::save(&context.db, (user, &quotas), (id, Some(&[base])), &definition, by).await {
        Ok(_) => Ok(see_other(&format!("/apps/{id}/edit?done=saved"))),
        Err(refusal @ (StoreRefusal::Unknown | StoreRefusal::Db(_))) => Err(store_refusal(refusal)),
        Err(StoreRefusal::NameTaken(name)) => {
            draft.add_error("name", format!("Another app has the name {name:?}. Choose another name."));
            let error = draft.summary();
            refused(draft, base, error)
        }
        Err(StoreRefusal::Changed(current)) => {
            let error = format!(
                "Not saved: another edit stored version {current} first. This page shows your text. Save \
                 again to store it as a newer version. Version {current} stays in the list of versions."
            );
            refused(draft, current, error)
        }
        Err(StoreRefusal::OverQuota(exceeded)) => {
            refused_as(StatusCode::CONFLICT, draft, base, format!("Not saved. {}", quota_sentence(&exceeded)))
        }
        Err(StoreRefusal::TooMany(most, what)) => {
            refused(draft, base, format!("Not saved: there are {most} {what} already, the most possible."))
        }
    }
}
