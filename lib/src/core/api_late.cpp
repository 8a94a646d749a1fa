// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// What is said to those whom the store would keep waiting.
#include <algorithm>

#include "core/api_impl.hpp"

namespace jobruntime {
namespace {

/// Whether it makes a job: then repeating it is harmless with a key, and its handler knows by itself what it has written.
bool creates(const Route& route) {
    return std::ranges::any_of(route.headers, [](const RouteField& header) { return core::lower(header.name) == core::key_header; });
}

/// Whether it may end in an event of the audit that must not be lost. Without its beats a worker would lose its jobs.
bool is_told_of(const Route& route) {
    return core::is_change(route.method) && route.path != "/api/worker/beat" && route.path != "/logout";
}

}  // namespace

std::optional<Response> ApiRouter::Impl::refuse_waiting(const Route& route) {
    // Nothing is done that could not be told of.
    if (is_told_of(route) && options.sink && !options.sink->has_room())
        return Response::error(503, "OVERLOADED", "Too many changes wait to be put into the log; nothing was done, try again");
    if (route.storeless) return std::nullopt;
    if (probe.is_hung()) return self.error_response({Errc::unavailable, "STORE_UNAVAILABLE", "it hangs"});
    if (!core::is_change(route.method)) return std::nullopt;
    const auto there = probe.answers();
    // Another refusal of the probe's question says nothing of the verb that is meant, which gives its own answer.
    if (there || there.error().code != Errc::unavailable) return std::nullopt;
    return self.error_response(there.error());
}

std::optional<Response> ApiRouter::refuse_late(const Request& request, bool begun) {
    RouteMatch match;
    match.trace_id = impl_->trace_id_of(request);
    Impl::Way way;
    auto refused = impl_->refuse_head_safely(request, match, &way);
    if (!refused) {
        if (way.route->storeless) return std::nullopt;
        impl_->probe.look();
        refused = begun && core::is_change(way.route->method)
                      ? impl_->unsure(creates(*way.route), request.header(core::key_header))
                      : error_response({Errc::unavailable, "STORE_UNAVAILABLE", "it hangs"});
        impl_->audit_change(request, match, *refused);
    }
    impl_->finish(request, *refused, match.trace_id);
    return refused;
}

Response ApiRouter::Impl::unsure(bool creates, std::string_view key) const {
    std::string text = "The store does not answer, and ";
    if (!creates) text += "whether it has done this is not known; look before you repeat it";
    else if (key.empty())
        text += "whether it has taken the job is not known; look for it before you send it again, or send such requests with "
                "an Idempotency-Key, which may be repeated";
    else
        text += "whether it has taken the job is not known; send it again with the same Idempotency-Key, which makes no "
                "second job";
    return store_unavailable(std::move(text), {{"outcome", "unknown"}});
}

void ApiRouter::Impl::say_if_unsure(const Route& route, Response& response) const {
    if (route.storeless || response.status != 503 || !core::is_change(route.method) || creates(route)) return;
    const auto* text = std::get_if<std::string>(&response.body);
    const bool says_so = text && text->find(R"("outcome":"unknown")") != std::string::npos;
    if (!says_so && core::code_of(response) == "STORE_UNAVAILABLE") response = unsure(false, {});
}

}  // namespace jobruntime
