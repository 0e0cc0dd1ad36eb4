//! The tab Edit: everything that an app is, each mistake at its field. Saving makes another version.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use gateway_domain::apps::CurrentApp;
use gateway_domain::apps::store::{self, StoreRefusal};
use shared::tools::FILE_READERS;

use super::super::form::Form;
use super::super::page::{Frame, see_other, show, show_as};
use super::super::visitor::Visitor;
use super::definition::{Draft, FieldRow};
use super::snippets::sample_inputs;
use super::{Header, Tab, app_of};
use crate::context::Context;
use crate::http::ApiError;

#[derive(Template)]
#[template(path = "app/edit.html")]
struct Page {
    frame: Frame,
    app: Header,
    draft: Draft,
    /// The version that the editor began with.
    base: i32,
    /// What the preview is rendered over.
    samples: String,
    models: Vec<(String, String)>,
    error: Option<String>,
    kinds: [&'static str; 5],
    /// What a further row begins as.
    blank: FieldRow,
    readers: String,
}

impl Page {
    /// Whether the installation has this model, or none is named.
    fn knows(&self, model: &str) -> bool {
        model.is_empty() || self.models.iter().any(|(id, _)| id == model)
    }

    fn new(visitor: &Visitor, app: &CurrentApp, context: &Context, draft: Draft) -> Self {
        let header = Header::new(app, Tab::Edit);
        let samples =
            serde_json::to_string_pretty(&sample_inputs(&app.definition.inputs)).unwrap_or_default();
        Self {
            frame: header.frame(visitor),
            app: header,
            draft,
            base: app.version,
            samples,
            models: context.models.all().iter().map(|model| (model.id.clone(), model.name.clone())).collect(),
            error: None,
            kinds: ["text", "number", "boolean", "select", "file"],
            blank: FieldRow { kind: "text".to_owned(), ..FieldRow::default() },
            readers: FILE_READERS.join(", "),
        }
    }
}

/// GET /apps/{appId}/edit
pub(in crate::console) async fn form(
    visitor: Visitor,
    request: HttpRequest,
    path: web::Path<String>,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    const NOTICES: [(&str, &str); 4] = [
        ("created", "The app is there. Run it, or change it here."),
        ("saved", "Saved as a new version; running runs keep theirs."),
        ("archived", "Archived. Its runs stay."),
        ("restored", "Restored."),
    ];
    let app = app_of(&context, &visitor, &path).await?;
    let mut page = Page::new(&visitor, &app, &context, Draft::of(&app.definition));
    page.frame = page.frame.noticing(&request, &NOTICES);
    show(&page)
}

/// POST /apps/{appId}/edit
pub(in crate::console) async fn handle(
    visitor: Visitor,
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let form = Form::read(&request, payload, &visitor).await?;
    let app = app_of(&context, &visitor, &path).await?;
    let base: i32 = form.text("base").parse().unwrap_or(app.version);
    let mut draft = Draft::read(&form);
    // A form that is sent again goes on being over the version that its editor has seen.
    let refused = |draft: Draft, base: i32, error: String| {
        let page = Page::new(&visitor, &app, &context, draft);
        let page = Page { base, samples: form.text("samples").to_owned(), error: Some(error), ..page };
        show_as(StatusCode::BAD_REQUEST, &page)
    };
    let Some(definition) = draft.check(&context.models) else {
        let above = draft.mistake("").map(str::to_owned);
        return refused(
            draft,
            base,
            above.unwrap_or_else(|| "Not saved: something is wrong below.".to_owned()),
        );
    };
    let (user, by, id) = (visitor.user(), visitor.actor(), app.id);
    match store::save(&context.db, user, (id, base), &definition, by).await {
        Ok(_) => Ok(see_other(&format!("/apps/{id}/edit?done=saved"))),
        Err(refusal @ (StoreRefusal::Unknown | StoreRefusal::Db(_))) => Err(refusal.into()),
        Err(refusal @ StoreRefusal::NameTaken(_)) => {
            draft.blame("name", refusal.to_string());
            refused(draft, base, "Not saved: something is wrong below.".to_owned())
        }
        Err(refusal) => {
            let now = if let StoreRefusal::Changed(now) = refusal { now } else { base };
            let error = format!(
                "Not saved: {refusal}. What you see here is your text; saving again replaces that version (it stays among the versions)."
            );
            refused(draft, now, error)
        }
    }
}
