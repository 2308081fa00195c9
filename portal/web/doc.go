// Package web is the portal's pages: HTTP in, HTML out.
//
// Routes (routes.go) is the one table: method, pattern, who may, handler. A handler decodes,
// asks a use case, responds and returns its error; respond.go turns that error into a page
// or, for htmx, into a part of one, and never shows a text that was not written for people.
//
// Decisions:
//   - Every page works without JavaScript. htmx (static/vendor, pinned) spares reloads, and
//     lethe.js copies, prints, shows passwords and local times; nothing depends on them.
//   - No inline script or style, no foreign host: the Content-Security-Policy allows 'self'.
//   - What a page has to say after a redirect is one of a closed list of notices, carried by
//     a cookie: a link can't make us say something.
//   - The page of a run is kept up to date by one EventSource, since browsers open few
//     connections to a site: its state (the same template as in the page), points and log
//     lines, which can be resumed. A stream ends after ten minutes, and when the server
//     drains (Server.Drain); the browser comes back by itself and shows its cookie again.
//   - Secrets never stand in a URL, but for emailed links. Opening one (GET) changes
//     nothing; it shows a form.
package web
