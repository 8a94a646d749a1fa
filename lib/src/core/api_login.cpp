// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <utility>

#include "core/api_impl.hpp"

namespace jobruntime {
namespace {

/// Plain enough to need neither script nor style, which the policy would forbid inside it.
constexpr std::string_view page_begin = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>Log in</title></head>
<body><main><h1>Log in</h1>
)";
constexpr std::string_view page_failed = "<p role=\"alert\">This token is wrong or was revoked.</p>\n";
constexpr std::string_view page_end = R"(<form method="post" action="login">
<p><label>Access token <input name="token" type="password" autocomplete="current-password" required autofocus></label>
<button>Log in</button></p></form>
<p><code>jobrt token create NAME --role read|operate|admin</code> makes a token.</p>
</main></body></html>
)";

Response redirect(std::string where) {
    Response response;
    response.status = 303;
    core::set_header(response, "location", std::move(where));
    return response;
}

Response login_page(const RouteMatch& match) {
    Response response;
    core::set_header(response, "content-type", "text/html; charset=utf-8");
    core::set_header(response, "content-security-policy",
                     "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'");
    // With no-referrer a browser calls the origin of this page's own form "null".
    core::set_header(response, "referrer-policy", "same-origin");
    response.body = std::string(page_begin) + std::string(match.query_value("failed") ? page_failed : "") +
                    std::string(page_end);
    return response;
}

/// The token of a form or of a JSON body.
Result<std::string> token_in_body(const Request& request, const RouteMatch& match) {
    std::string token;
    if (core::is_form(request)) {
        const auto form = core::parse_target("/?" + request.body);
        if (!form) return core::invalid("the form has a bad percent escape");
        for (const auto& [name, value] : form->query) {
            if (name != "token") return core::invalid("the form has an unknown name; it has one, token");
            token = value;
        }
    } else {
        token = match.body.at("token").as_string();
    }
    // Pasted text brings its line's end along.
    while (!token.empty() && static_cast<unsigned char>(token.back()) <= ' ') token.pop_back();
    token.erase(0, token.find_first_not_of(" \t\r\n"));
    for (const char c : token)
        if (c <= ' ' || c >= 0x7f || c == ';' || c == ',' || c == '"' || c == '\\') return std::string();
    return token;
}

boost::json::object about(const Caller& caller, bool guarded) {
    boost::json::object object{{"ok", true}, {"name", caller.name}, {"role", to_string(caller.role)}, {"guarded", guarded}};
    object["tokenId"] = caller.id.empty() ? boost::json::value(nullptr) : boost::json::value(caller.id);
    return object;
}

}  // namespace

void ApiRouter::Impl::add_login_routes() {
    // Where a person goes on: the program's own page, when it has one. Relative, as a proxy may have put us under a path.
    const auto home = [this] { return self.find("GET", "/") ? "./" : "api/status"; };
    on("GET", "/login", [this, home](const Request&, const RouteMatch& match) {
        return options.authenticate ? login_page(match) : redirect(home());
    });
    on("POST", "/login", [this, home](const Request& request, const RouteMatch& match) {
        const bool form = core::is_form(request);
        const auto token = token_in_body(request, match);
        if (!token) return self.error_response(token.error());
        Caller caller = match.caller;
        if (options.authenticate) {
            auto known = token->empty() ? std::nullopt : options.authenticate(*token);
            if (!known) refused_tokens.add(request, match.trace_id);
            if (!known && form) return redirect("login?failed=1");
            if (!known)
                return Response::error(401, "UNAUTHORIZED",
                                       "This access token is wrong or was revoked; get a new one (jobrt token create)");
            caller = *std::move(known);
        }
        auto response = form ? redirect(home()) : Response::json(200, about(caller, self.is_guarded()));
        if (options.authenticate) core::set_header(response, "set-cookie", core::token_cookie(request, *token));
        auto known = match;
        known.caller = caller;
        audit(request, known, response);
        return response;
    });
    on("POST", "/logout", [](const Request& request, const RouteMatch&) {
        auto response = core::is_form(request) ? redirect("login") : Response::json(200, {{"ok", true}});
        core::set_header(response, "set-cookie", core::token_cookie(request, ""));
        return response;
    });
    on("GET", "/api/session", [this](const Request&, const RouteMatch& match) {
        return Response::json(200, about(match.caller, self.is_guarded()));
    });
}

}  // namespace jobruntime
