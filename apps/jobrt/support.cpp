// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "commands.hpp"

#include <filesystem>
#include <fstream>
#include <iostream>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <jobruntime/api_router.hpp>
#include <jobruntime/job_queue.hpp>
#include <jobruntime/memory.hpp>
#include <jobruntime/net.hpp>
#include <jobruntime/telemetry_sink.hpp>

#include "media_api.hpp"
#include "process.hpp"
#include "stores.hpp"

namespace jobruntime::jobrt {

std::unique_ptr<Store> any_store(const Invocation& in) {
    auto store = host::open_store(in.config, {"", "cli"}, in.log);
    if (store) return *std::move(store);
    host::complain(in.log, store.error());
    return nullptr;
}

std::unique_ptr<Store> existing_store(const Invocation& in) {
    if (in.config.store.starts_with("sqlite:") && !std::filesystem::exists(in.config.store.substr(7))) {
        in.log.error("there is no job store at " + in.config.store.substr(7) +
                     " yet; start jobrt there, or name another with JOBRT_STORE or --store");
        return nullptr;
    }
    return any_store(in);
}

void print_json(const boost::json::object& object) { std::cout << boost::json::serialize(object) << std::endl; }

boost::json::object job_object(const Job& job, std::string_view waiting_for) {
    // The router knows how a job looks; it needs a queue, which is not asked anything here.
    static const auto store = memory::open();
    static JobQueue queue(*store);
    static const ApiRouter router(queue, [] {
        ApiOptions options;
        options.decorate = host::media_members;
        return options;
    }());
    return router.job_json(job, waiting_for);
}

std::string first_profile(const Invocation& in) {
    auto path = in.config.profile_dir;
    if (const auto slot = path.find("%i"); slot != std::string::npos) path.replace(slot, 2, "0");
    return path;
}

int fail(const Invocation& in, const Error& error) {
    // Whoever is to check the address of the store must know where it comes from.
    const bool of_store = host::is_mongo(in.config.store) && error.message.starts_with("MongoDB at ");
    auto said = error;
    if (of_store) said.message += " (" + in.config.store_variable + ")";
    return fail_of_named(in, said);
}

int fail_of_named(const Invocation& in, const Error& error) {
    // What a site or a program has said may be in it, with addresses.
    const auto message = redact(error.message);
    if (in.has("json"))
        print_json({{"ok", false}, {"code", error.name.empty() ? to_string(error.code) : error.name}, {"error", message}});
    else
        std::cerr << (error.name.empty() ? "" : error.name + ": ") << message << "\n";
    return host::exit_failed;
}

std::optional<JobId> job_id(const Invocation& in, const std::string& text) {
    auto id = JobId::parse(text);
    if (!id)
        fail(in, {Errc::invalid_argument, "INVALID_ARGUMENT",
                  "\"" + text + "\" is no job id; jobrt jobs list shows them"});
    return id;
}

Result<std::string> api_token(const Invocation& in) {
    const auto& path = in.config.api_token_file;
    if (path.empty()) return std::string();
    const auto bad = [&](const std::string& what) {
        return Error{Errc::invalid_argument, "INVALID_CONFIGURATION",
                     path + " (JOBRT_API_TOKEN_FILE) " + what + "; put one line in it, the token as jobrt token create printed it"};
    };
    std::ifstream file(path);
    std::string token;
    if (!file || !std::getline(file, token)) return bad("cannot be read");
    while (!token.empty() && static_cast<unsigned char>(token.back()) <= ' ') token.pop_back();
    for (const char c : token)
        if (c <= ' ' || c >= 0x7f) return bad("holds no token");
    if (token.empty() || token.front() == '{') return bad("holds no token");
    return token;
}

Result<ApiAnswer> call_api(const std::string& base, const std::string& path, const boost::json::object* body,
                           const std::string& token) {
    // The guard is for addresses that strangers name. This one the operator has typed, so it may lead anywhere;
    // but nobody is sent on from there.
    auto nets = net::Network::parse_list("0.0.0.0/0 ::/0");
    if (!nets) return std::move(nets).error();
    net::FetcherOptions options;
    options.allow_nets = *std::move(nets);
    const net::Fetcher fetcher(std::move(options));
    net::FetchRequest request{.url = base.substr(0, base.find_last_not_of('/') + 1) + path};
    request.timeout = std::chrono::milliseconds(5'000);
    request.max_redirects = 0;
    if (body) request.headers = {{"content-type", "application/json"}};
    if (!token.empty()) request.headers.emplace_back("authorization", "Bearer " + token);
    auto answer = body ? fetcher.post(request, boost::json::serialize(*body)) : fetcher.get(request);
    if (!answer) return std::move(answer).error();
    boost::system::error_code code;
    auto parsed = boost::json::parse(answer->body, code);
    if (code || !parsed.is_object())
        return Error{Errc::unavailable, "NOT_JOBRT",
                     "what answers at " + base + " is not jobrt (status " + std::to_string(answer->status) +
                         "); another program may hold the port"};
    return ApiAnswer{answer->status, std::move(parsed.get_object())};
}

Error refused(const ApiAnswer& answer) {
    const auto text_of = [&](std::string_view name) {
        const auto* value = answer.body.if_contains(name);
        return value && value->is_string() ? std::string(value->get_string()) : std::string();
    };
    auto sentence = text_of("error");
    if (sentence.empty()) sentence = "the API answers with status " + std::to_string(answer.status);
    if (answer.status == 401) sentence += "; name a file with an access token in JOBRT_API_TOKEN_FILE";
    return {answer.status >= 500 ? Errc::unavailable : Errc::invalid_argument, text_of("code"), std::move(sentence)};
}

Result<boost::json::object> get_api(const std::string& base, const std::string& path, const std::string& token) {
    auto answer = call_api(base, path, nullptr, token);
    if (!answer) return std::move(answer).error();
    if (answer->status >= 400) return refused(*answer);
    return std::move(answer->body);
}

}  // namespace jobruntime::jobrt
