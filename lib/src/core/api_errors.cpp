// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <utility>

#include "core/api_impl.hpp"

// What went wrong, as an answer.
namespace jobruntime {

Response ApiRouter::Impl::or_error(Result<Response> response) const {
    if (!response) return self.error_response(response.error());
    return *std::move(response);
}

/// An exception's text is for the operator only.
Response ApiRouter::Impl::failure(const Request& request, const std::string& trace_id, const std::string& what) const {
    if (options.log) options.log("api: " + request.method + " failed, trace " + trace_id + ": " + redact(what));
    return Response::error(500, "INTERNAL", "Something went wrong in the server; its log says more", {{"traceId", trace_id}});
}

Response ApiRouter::Impl::store_unavailable(std::string text, boost::json::object more) const {
    if (!options.store_hint.empty()) text += " (" + options.store_hint + ")";
    auto response = Response::error(503, "STORE_UNAVAILABLE", text, std::move(more));
    core::set_header(response, "retry-after", "2");
    return response;
}

Response ApiRouter::error_response(const Error& error) const {
    const auto retry_later = [](Response response, const char* seconds) {
        core::set_header(response, "retry-after", seconds);
        return response;
    };
    // A store that refuses us for a reason of its own (credentials, rights, versions) is away for whoever asks,
    // whatever kind of error that is for the program.
    const bool refused = error.name.starts_with("STORE_") || error.name.starts_with("SERVER_");
    const auto code = refused && error.code != Errc::full ? Errc::unavailable : error.code;
    switch (code) {
        case Errc::invalid_argument:
            if (error.name.empty()) return Response::error(400, "INVALID_ARGUMENT", "The request asks for something impossible");
            return Response::error(error.name == "PAYLOAD_TOO_LARGE" ? 413 : 400, error.name, error.message);
        case Errc::not_found: return Response::error(404, "JOB_NOT_FOUND", "There is no such job");
        case Errc::conflict: return Response::error(409, "CONFLICT", "Somebody else got there first; look again");
        case Errc::timed_out:
            return retry_later(Response::error(504, "TIMED_OUT", "The time for it ran out; try again"), "2");
        case Errc::full:
            return retry_later(Response::error(507, "STORE_FULL", "The store has no space left; delete jobs or free disk space"),
                               "30");
        case Errc::unsupported: return Response::error(501, "UNSUPPORTED", "This store cannot do that");
        case Errc::unavailable:
        case Errc::canceled: return impl_->store_unavailable("The store does not answer now; try again");
        case Errc::corrupt: return Response::error(500, "STORE_CORRUPT", "Stored data cannot be read; run jobrt doctor");
        case Errc::internal: break;
    }
    return Response::error(500, "INTERNAL", "Something went wrong in the server; its log says more");
}

}  // namespace jobruntime
