// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "stores.hpp"

#include <algorithm>
#include <filesystem>

#include <jobruntime/sqlite.hpp>
#include <jobruntime/telemetry_sink.hpp>
#ifdef JOBRUNTIME_HAS_MONGO
#include <jobruntime/mongo.hpp>
#endif

namespace jobruntime::host {
namespace {

constexpr std::string_view sqlite_scheme = "sqlite:";

/// The hosts of a URI that may be broken: only what certainly is no user and no password.
std::string hosts_of(std::string_view uri) {
    uri.remove_prefix(std::min(uri.size(), uri.find("://") + 3));
    // A password with an unescaped @ is not cut in the middle: the last one counts.
    const auto at = uri.rfind('@');
    if (at != std::string_view::npos) uri.remove_prefix(at + 1);
    uri = uri.substr(0, uri.find_first_of("/?"));
    std::string_view rest = uri;
    while (!rest.empty()) {
        const auto one = rest.substr(0, rest.find(','));
        rest.remove_prefix(std::min(rest.size(), one.size() + 1));
        // What stands behind the colon is a port, or it is something that must not be shown.
        const auto colon = one.rfind(':');
        const auto name = one.substr(0, colon);
        const auto port = colon == std::string_view::npos ? std::string_view() : one.substr(colon + 1);
        const bool plain = std::all_of(name.begin(), name.end(), [](unsigned char c) {
            return std::isalnum(c) || c == '.' || c == '-' || c == '_' || c == '[' || c == ']' || c == ':';
        });
        const bool digits = port.size() <= 5 && std::all_of(port.begin(), port.end(),
                                                            [](unsigned char c) { return std::isdigit(c); });
        if (!plain || !digits) return {};
    }
    return std::string(uri);
}

std::string hidden_uri(std::string_view uri) {
    const auto scheme = uri.substr(0, uri.find("://") + 3);
    const auto hosts = hosts_of(uri);
    return std::string(scheme) + (hosts.empty() ? "***" : hosts);
}

#ifdef JOBRUNTIME_HAS_MONGO
Result<std::unique_ptr<Store>> open_mongo(const std::string& uri, OpenOptions options) {
    mongo::Options chosen;
    chosen.origin = std::move(options.origin);
    chosen.log = std::move(options.log);
    auto opened = mongo::open(uri, std::move(chosen));
    if (opened) return opened;
    return Error{opened.error().code, opened.error().name,
                 options.variable + " cannot be used (" + hidden_uri(uri) + "): " + opened.error().message};
}
#else
Result<std::unique_ptr<Store>> open_mongo(const std::string& uri, const OpenOptions& options) {
    return Error{
        Errc::unsupported, "STORE_UNSUPPORTED",
        options.variable + " names a MongoDB (" + hidden_uri(uri) +
            "), but this program was built without MongoDB; unset it and set JOBRT_STORE=sqlite:PATH, or "
            "install a build with MongoDB"};
}
#endif

}  // namespace

bool is_mongo(std::string_view address) {
    return address.starts_with("mongodb://") || address.starts_with("mongodb+srv://");
}

Result<std::string> read_address(std::string_view text, const std::string& directory, bool bare_path) {
    if (is_mongo(text)) return std::string(text);
    auto path = text;
    if (path.starts_with(sqlite_scheme))
        path.remove_prefix(sqlite_scheme.size());
    else if (!bare_path || text.find("://") != std::string_view::npos)
        path = {};
    if (path.empty())
        return Error{Errc::invalid_argument, "INVALID_STORE",
                     "a store is named as sqlite:PATH or mongodb://…" +
                         std::string(bare_path ? ", or as a path" : "")};
    return std::string(sqlite_scheme) + (std::filesystem::path(directory) / path).lexically_normal().string();
}

std::string public_address(std::string_view address) {
    if (!is_mongo(address)) return redact(address);
#ifdef JOBRUNTIME_HAS_MONGO
    if (auto place = mongo::check_uri(address)) return place->text;
#endif
    return hidden_uri(address);
}

void quiet_drivers() {
#ifdef JOBRUNTIME_HAS_MONGO
    mongo::quiet_driver();
#endif
}

Result<std::unique_ptr<Store>> open_address(const std::string& address, OpenOptions options) {
    if (is_mongo(address)) return open_mongo(address, std::move(options));
    sqlite::Options chosen;
    // Enqueueing tries twice, behind a write that may be waiting already; who asks an API is answered in two
    // seconds.
    if (options.origin.role == "api" || options.origin.role == "combined")
        chosen.busy_timeout = Duration{600};
    chosen.origin = std::move(options.origin);
    auto opened = sqlite::open(std::string_view(address).substr(sqlite_scheme.size()), std::move(chosen));
    if (!opened) return std::move(opened).error();
    return std::unique_ptr<Store>(std::move(*opened));
}

Result<void> try_store(Store& store) {
    // Reads as every process does all the time, and makes the tables or collections that are missing.
    auto records = store.records("platform/");
    if (!records) return std::move(records).error();
    return {};
}

}  // namespace jobruntime::host
