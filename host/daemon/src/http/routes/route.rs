//! One entry of the table of what is served.

use axum::routing::MethodRouter;
use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema};
use volward_plan::Action;

use super::Shared;

/// One entry of the table.
pub(in crate::http) struct Route {
    pub(in crate::http) path: &'static str,
    pub(in crate::http) method: &'static str,
    pub(in crate::http) summary: &'static str,
    pub(in crate::http) action: Action,
    pub(super) waits: Waits,
    pub(in crate::http) query: &'static [Parameter],
    pub(in crate::http) body: Option<MakeSchema>,
    pub(in crate::http) reply: MakeSchema,
    pub(super) handler: MethodRouter<Shared>,
}

/// What a request may have to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// Nothing but memory.
    Never,
    /// A look at pools, files or logs: it has one of its role's places.
    ToLook,
    /// Changes in pools: its handler takes a place in each.
    InPools,
}

pub(in crate::http) type MakeSchema = fn(&mut SchemaGenerator) -> Schema;

/// A query parameter.
pub(in crate::http) struct Parameter {
    pub(in crate::http) name: &'static str,
    pub(in crate::http) is_required: bool,
    pub(in crate::http) is_in_path: bool,
    pub(in crate::http) meaning: &'static str,
    pub(in crate::http) takes: MakeSchema,
}

pub(super) const fn parameter<T: JsonSchema>(
    name: &'static str,
    meaning: &'static str,
) -> Parameter {
    Parameter {
        name,
        is_required: false,
        is_in_path: false,
        meaning,
        takes: schema::<T>,
    }
}

pub(super) const fn required<T: JsonSchema>(
    name: &'static str,
    meaning: &'static str,
) -> Parameter {
    Parameter {
        is_required: true,
        ..parameter::<T>(name, meaning)
    }
}

pub(super) const fn in_path<T: JsonSchema>(name: &'static str, meaning: &'static str) -> Parameter {
    Parameter {
        is_in_path: true,
        ..required::<T>(name, meaning)
    }
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// A route that is asked for; whoever may look may ask.
pub(super) fn reads<T: JsonSchema>(
    path: &'static str,
    summary: &'static str,
    query: &'static [Parameter],
    handler: MethodRouter<Shared>,
) -> Route {
    Route {
        path,
        method: "get",
        summary,
        action: Action::Look,
        waits: Waits::ToLook,
        query,
        body: None,
        reply: schema::<T>,
        handler,
    }
}

/// A route that is told something, by whoever may administer.
pub(super) fn does<B: JsonSchema, T: JsonSchema>(
    path: &'static str,
    summary: &'static str,
    handler: MethodRouter<Shared>,
) -> Route {
    let body: MakeSchema = schema::<B>;
    Route {
        path,
        method: "post",
        summary,
        action: Action::Administer,
        waits: Waits::ToLook,
        query: &[],
        body: Some(body),
        reply: schema::<T>,
        handler,
    }
}

impl Route {
    /// The same for whoever may have something else done.
    pub(super) fn for_whoever_may(self, action: Action) -> Self {
        Self { action, ..self }
    }

    /// The same, where all is said by the path; a body is not looked at.
    pub(super) fn without_body(self) -> Self {
        Self { body: None, ..self }
    }

    /// The same, where it waits for something else.
    pub(super) fn waiting(self, waits: Waits) -> Self {
        Self { waits, ..self }
    }

    /// What a request with that query may have to wait for.
    pub(super) fn waits_for(&self, query: Option<&str>) -> Waits {
        // The whole cluster's attachments are read from the registry.
        match query.is_some_and(|query| query.contains("all=true")) {
            true => Waits::ToLook,
            false => self.waits,
        }
    }
}
