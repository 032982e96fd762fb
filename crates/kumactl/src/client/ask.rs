//! What is asked of a control plane.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Put,
    /// Ask for something new.
    Post,
    Delete,
}

impl Method {
    pub(super) fn upper(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Get => "Get",
            Self::Put => "Put",
            Self::Post => "Post",
            Self::Delete => "Delete",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) route: &'a str,
    pub(super) wants_json: bool,
    pub(super) body: Option<&'a str>,
}

impl<'a> Ask<'a> {
    /// Asks for a resource or a list of them, in JSON.
    pub(crate) fn resource(method: Method, route: &'a str) -> Self {
        Self { method, route, wants_json: true, body: None }
    }

    /// Asks for something else, in whatever form it comes.
    pub(crate) fn other(method: Method, route: &'a str) -> Self {
        Self { method, route, wants_json: false, body: None }
    }

    /// Returns what a debug log says of the request.
    pub(crate) fn trace(&self) -> String {
        format!("{{\"method\": {:?}, \"url\": {:?}}}", self.method.upper(), self.route)
    }

    /// Sends a JSON text along.
    pub(crate) fn with_body(self, body: &'a str) -> Self {
        Self { body: Some(body), ..self }
    }
}
