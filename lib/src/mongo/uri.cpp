// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <cctype>
#include <limits>
#include <optional>

#include "mongo/driver.hpp"

namespace jobruntime::mongo {
namespace {

Error bad_uri(std::string why) {
    return {Errc::invalid_argument, "STORE_URI_INVALID",
            "this is no MongoDB URI: " + std::move(why) +
                "; it has the form mongodb://[user:password@]host[:port][,host…]/[database][?options]"};
}

Error unencoded() {
    return bad_uri(
        "user or password hold a character that must be percent-encoded (/ is %2F, @ is %40, : is %3A, ? is "
        "%3F)");
}

/// What the driver would take, in another sense than whoever wrote it meant.
std::optional<Error> ambiguous(std::string_view text) {
    const auto rest = text.substr(text.find("://") + 3);
    const auto authority = rest.substr(0, rest.find_first_of("/?"));
    const auto user = authority.substr(0, std::min(authority.rfind('@'), authority.size()));
    if (authority.find('@') != authority.npos) {
        if (user.find('@') != user.npos)
            return bad_uri("user or password hold an @, which must be written %40");
        if (std::count(user.begin(), user.end(), ':') > 1)
            return bad_uri("user or password hold a colon, which must be written %3A");
    }
    // A password of numbers, then a / or a ?: the driver would take it for a port, and what follows for a
    // database, both of which are shown.
    const auto path = rest.substr(authority.size());
    const auto name_end = std::min(path.find('?'), path.size());
    const bool nobody_named = authority.size() == user.size();
    if (path.substr(0, nobody_named ? path.size() : name_end).find('@') != path.npos) return unencoded();
    // A driver that does not understand whether to encrypt does not; better not to connect then.
    auto options = rest.substr(std::min(rest.find('?'), rest.size()));
    while (!options.empty()) {
        options.remove_prefix(1);
        const auto end = std::min(options.find_first_of("&;"), options.size());
        const auto option = options.substr(0, end);
        std::string name(option.substr(0, option.find('=')));
        // The driver takes the names of options in any case.
        std::transform(name.begin(), name.end(), name.begin(),
                       [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
        const auto value = name.size() < option.size() ? option.substr(name.size() + 1) : std::string_view();
        if ((name == "tls" || name == "ssl") && value != "true" && value != "false")
            return bad_uri("its option " + name + " is neither true nor false");
        options.remove_prefix(end);
    }
    return std::nullopt;
}

/// True for names and addresses with numbers for ports: what stands behind a colon else may be a password
/// whose @ is missing.
bool shows_no_secret(std::string_view hosts) {
    while (!hosts.empty()) {
        auto host = hosts.substr(0, hosts.find(','));
        hosts.remove_prefix(std::min(hosts.size(), host.size() + 1));
        if (host.starts_with('[')) host.remove_prefix(std::min(host.size(), host.find(']') + 1));
        const auto port = host.substr(std::min(host.size(), host.find(':')));
        if (port.find_first_not_of(":0123456789") != port.npos) return false;
    }
    return true;
}

/// The driver's own sentences repeat what they complain about, which may be the password.
Error refuse(std::string_view text) {
    const auto rest = text.substr(text.find("://") + 3);
    const auto hosts_end = std::min(rest.find('/'), rest.size());
    const auto at = rest.rfind('@');
    if (at != rest.npos && at > hosts_end) return unencoded();
    const auto authority = rest.substr(0, hosts_end);
    const auto first = authority.find('@');
    const auto hosts = first == authority.npos ? authority : authority.substr(first + 1);
    if (hosts.empty()) return bad_uri("it names no host");
    if (!shows_no_secret(hosts))
        return bad_uri("its hosts are not host[:port], or an @ is missing between the password and the host");
    return bad_uri("its hosts \"" + std::string(hosts) +
                   "\", its database name or its options are not what they must be");
}

std::int32_t milliseconds(Duration duration) {
    return static_cast<std::int32_t>(
        std::min<Duration::rep>(duration.count(), std::numeric_limits<std::int32_t>::max()));
}

std::string hosts_of(const mongoc_uri_t* uri) {
    if (const char* name = mongoc_uri_get_srv_hostname(uri)) return name;
    std::string hosts;
    for (const auto* host = mongoc_uri_get_hosts(uri); host; host = host->next)
        hosts += (hosts.empty() ? "" : ",") + std::string(host->host_and_port);
    return hosts;
}

Result<void> check(const Options& options) {
    for (const auto& [value, name] : {std::pair{options.server_selection, "server_selection"},
                                      {options.socket_timeout, "socket_timeout"},
                                      {options.write_timeout, "write_timeout"},
                                      {options.poll, "poll"}})
        if (value <= Duration{0})
            return Error{Errc::invalid_argument,
                         std::string("the option ") + name + " of a MongoDB store must be above zero"};
    if (options.connections < 2)
        return Error{Errc::invalid_argument,
                     "a MongoDB store needs at least two connections; raise the option connections"};
    return {};
}

}  // namespace

void quiet_driver() {
    start_driver(true);
}

Result<Uri> read_uri(std::string_view text, const Options& options, Place& place) {
    JR_TRY(check(options));
    if (!text.starts_with("mongodb://") && !text.starts_with("mongodb+srv://"))
        return bad_uri("it does not begin with mongodb:// or mongodb+srv://");
    if (text.find('\0') != text.npos) return bad_uri("it holds a zero byte");
    if (auto why = ambiguous(text)) return *std::move(why);
    start_driver(options.quiet_driver);
    bson_error_t why;
    Uri uri(mongoc_uri_new_with_error(std::string(text).c_str(), &why));
    if (!uri) return refuse(text);

    const char* named = mongoc_uri_get_database(uri.get());
    place.database = named && *named ? named : options.database.empty() ? "jobruntime" : options.database;
    if (place.database.size() > 63 ||
        place.database.find_first_of(std::string_view("/\\. \"$*<>:|?\0", 13)) != std::string::npos)
        return bad_uri("the database name \"" + place.database + "\" is none that MongoDB takes");
    place.hosts = hosts_of(uri.get());
    place.tls = mongoc_uri_get_tls(uri.get());
    place.text = std::string(text.substr(0, text.find("://"))) + "://" + place.hosts + "/" + place.database;

    // What is safe is not up to the URI; how long to wait is, when it says so.
    auto* raw = uri.get();
    const auto unless_said = [raw](const char* option, std::int32_t value) {
        if (!mongoc_uri_has_option(raw, option)) mongoc_uri_set_option_as_int32(raw, option, value);
    };
    unless_said(MONGOC_URI_SERVERSELECTIONTIMEOUTMS, milliseconds(options.server_selection));
    unless_said(MONGOC_URI_CONNECTTIMEOUTMS, milliseconds(options.server_selection));
    unless_said(MONGOC_URI_SOCKETTIMEOUTMS, milliseconds(options.socket_timeout));
    unless_said(MONGOC_URI_MAXPOOLSIZE, options.connections);
    unless_said(MONGOC_URI_WAITQUEUETIMEOUTMS, milliseconds(options.socket_timeout));
    // One is held by whoever listens for changes, and what it hears of is looked at over another.
    if (mongoc_uri_get_option_as_int32(raw, MONGOC_URI_MAXPOOLSIZE, options.connections) < 2)
        return bad_uri("its option maxPoolSize is below two, and a store needs two connections at least");
    // Every write here may be repeated, and a verb that repeats it knows what it is looking for.
    mongoc_uri_set_option_as_bool(raw, MONGOC_URI_RETRYWRITES, false);
    if (!mongoc_uri_get_appname(raw)) mongoc_uri_set_appname(raw, "jobruntime");
    return uri;
}

Result<Place> check_uri(std::string_view uri, const Options& options) {
    Place place;
    const auto read = read_uri(uri, options, place);
    if (!read) return read.error();
    return place;
}

}  // namespace jobruntime::mongo
