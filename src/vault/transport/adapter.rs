//! Where `rustify`, which builds the requests of `vaultrs`, meets the transport.

use http::{HeaderMap, Request, Response, Uri};
use rustify::client::Client;
use rustify::endpoint::{Endpoint, MiddleWare};
use rustify::errors::ClientError;

use super::Transport;

/// Puts the real URL and headers on a request that `rustify` built.
pub(super) struct ApplyOptions {
    pub uri: Uri,
    pub headers: HeaderMap,
}

impl MiddleWare for ApplyOptions {
    fn request<E: Endpoint>(&self, _: &E, request: &mut Request<Vec<u8>>) -> Result<(), ClientError> {
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().extend(self.headers.clone());
        Ok(())
    }

    fn response<E: Endpoint>(&self, _: &E, _: &mut Response<Vec<u8>>) -> Result<(), ClientError> {
        Ok(())
    }
}

#[async_trait::async_trait]
impl Client for Transport {
    async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, ClientError> {
        let (url, method) = (String::new(), String::new());
        self.round_trip(request).await.map_err(|e| ClientError::RequestError { source: e.into(), url, method })
    }

    fn base(&self) -> &str {
        &self.root
    }

    // The stock version turns every status but 2xx into an error and loses the headers; here all of them are answers.
    async fn execute(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, ClientError> {
        Client::send(self, request).await
    }
}
