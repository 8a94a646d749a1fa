// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include <sqlite3.h>

#include "e2e/support.hpp"

// One secret in each place where a secret can be, put through a whole life of the programs: none may show in whatever
// they write, keep or answer.
using namespace jobruntime;
using namespace jobruntime::e2e;
namespace fs = std::filesystem;

namespace {

/// Words that are nowhere else, so that a search for one finds a leak and nothing besides.
struct Secrets {
    std::string token;                                          ///< Made by jobrt; without its id.
    std::string wrong_token = "jrt_deadbeef_canaryWrongTokenCanaryWrongToken";
    std::string cookie = "canary-cookie-of-the-extractor";      ///< Answered for the download.
    std::string profile_cookie = "canary-cookie-of-the-profile";
    std::string url_password = "canary-password-in-a-url";
    std::string signature = "canary-signature-of-an-address";
    std::string mongodb = "canary-password-of-mongodb";
    std::string variable = "canary-variable-of-the-extractor";
    std::string authorization = "canary-authorization-of-a-proxy";
    std::string medium = "canary-signature-of-the-medium";      ///< In the address that is fetched: a job's step keeps that until it is saved.
    std::string missing = "canary-signature-of-what-is-missing"; ///< In the address of a medium that cannot be saved: so its step has to keep it.
    std::string redirect = "canary-token-of-a-redirect";        ///< Where the site sends who fetches that.
    std::string site_cookie = "canary-cookie-that-the-site-sets";
    std::string outward_proxy = "canary-password-of-the-environments-proxy";

    std::vector<std::pair<std::string, std::string>> all() const {
        return {{"the token", token},
                {"a wrong token", wrong_token.substr(13)},
                {"the extractor's cookie", cookie},
                {"the profile's cookie", profile_cookie},
                {"a URL's password", url_password},
                {"an address's signature", signature},
                {"MongoDB's password", mongodb},
                {"the extractor's variable", variable},
                {"another scheme's credential", authorization},
                {"the medium's signature", medium},
                {"the missing medium's signature", missing},
                {"a redirect's token", redirect},
                {"the site's cookie", site_cookie},
                {"the environment's proxy", outward_proxy}};
    }
};

/// What was written or answered, by where.
using Seen = std::vector<std::pair<std::string, std::string>>;

void none_shows(const Secrets& secrets, const Seen& seen) {
    for (const auto& [where, text] : seen)
        for (const auto& [what, secret] : secrets.all()) {
            if (secret.empty()) continue;  // Not made in this test.
            // The file and its log have what was there once until it is written over; rows_of() looks at what is there now.
            if ((secret == secrets.medium || secret == secrets.missing) && where.find("/jobs.db") != std::string::npos) continue;
            const auto at = text.find(secret);
            const auto from = at == std::string::npos || at < 200 ? 0 : at - 200;
            CHECK_MESSAGE(at == std::string::npos, what << " shows in " << where << ": …" << text.substr(from, 300));
        }
}

/// All files of the folder that the programs made: database, WAL, tokens, locks, what lies beside downloads.
Seen files_below(const std::string& folder, const std::string& but) {
    Seen seen;
    for (const auto& entry : fs::recursive_directory_iterator(folder))
        if (entry.is_regular_file() && but.find("|" + entry.path().filename().string() + "|") == std::string::npos)
            seen.emplace_back(entry.path().string(), contents(entry.path().string()));
    return seen;
}

/// All that stands in the rows of a database, of all its tables.
std::string rows_of(const std::string& path) {
    sqlite3* db = nullptr;
    CHECK(sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READWRITE, nullptr) == SQLITE_OK);
    sqlite3_busy_timeout(db, 10'000);
    std::string rows;
    const auto each = [db](const std::string& sql, auto&& row) {
        sqlite3_stmt* statement = nullptr;
        CHECK_MESSAGE(sqlite3_prepare_v2(db, sql.c_str(), -1, &statement, nullptr) == SQLITE_OK, sqlite3_errmsg(db));
        while (sqlite3_step(statement) == SQLITE_ROW)
            for (int column = 0; column < sqlite3_column_count(statement); ++column)
                if (const auto* text = static_cast<const char*>(sqlite3_column_blob(statement, column)))
                    row(std::string(text, static_cast<std::size_t>(sqlite3_column_bytes(statement, column))));
        sqlite3_finalize(statement);
    };
    std::vector<std::string> tables;
    each("SELECT name FROM sqlite_schema WHERE type = 'table'", [&](std::string name) { tables.push_back(std::move(name)); });
    for (const auto& table : tables) each("SELECT * FROM \"" + table + "\"", [&](const std::string& value) { rows += value + "\n"; });
    sqlite3_close(db);
    return rows;
}

void write_program(const std::string& path, const std::string& text) {
    std::ofstream(path) << text;
    fs::permissions(path, fs::perms::owner_all);
}

/// The extractor's answer: a film whose address is signed and which wants a cookie. It has seen its variable.
void write_extractor(const Folder& folder, const test::TestServer& site, const Secrets& secrets) {
    const auto film = site.url("/first.mp4?sig=" + secrets.medium), none = site.url("/none.mp4?sig=" + secrets.missing);
    write_program(folder / "site.sh",
                  "#!/bin/sh\nread request\n"
                  "if [ \"$SITE_KEY\" = '" + secrets.variable + "' ]; then echo 'has its key' >&2; fi\n"
                  "echo 'Cookie: a=" + secrets.cookie + "' >&2\n"
                  "echo '{\"type\":\"log\",\"message\":\"asking " + film + "&sig=" + secrets.signature + "\"}'\n"
                  "case \"$request\" in *gone*) echo '{\"type\":\"error\",\"code\":\"NO_MEDIA\",\"message\":\"no film at "
                  "https://user:" + secrets.url_password + "@site.example/?token=" + secrets.signature + "\"}'; exit;;\n"
                  "*none*) film='" + none + "';; *) film='" + film + "';; esac\n"
                  "echo '{\"title\":\"T\",\"formats\":[{\"url\":\"'\"$film\"'\",\"ext\":\"mp4\",\"http_headers\":{\"Cookie\":\"a=" +
                      secrets.cookie + "\",\"authorization\":\"Basic " + secrets.authorization + "\"}}]}'\n");
    std::ofstream(folder / "canary.json") << R"({"extractors":{"site":{"command":["./site.sh"],"environment":["SITE_KEY"]}},
        "platforms":{"web":{"extractors":["site"]}}})";
}

Variables variables_of(const Folder& folder, const Secrets& secrets) {
    auto variables = environment(folder);
    variables["JOBRT_CONFIG"] = folder / "canary.json";
    variables["JOBRT_TOKEN_FILE"] = folder / "tokens";
    variables["SITE_KEY"] = secrets.variable;
    for (const char* name : {"http_proxy", "https_proxy", "all_proxy"}) variables[name] = "http://ada:" + secrets.outward_proxy + "@127.0.0.1:1";
    return variables;
}

HeaderList bearer(const std::string& token) { return {{"authorization", "Bearer " + token}}; }

/// Requests with secrets in every place of a request; what was answered.
Seen ask_with_secrets(int port, const std::string& token, const Secrets& secrets) {
    Seen seen;
    const auto ask = [&](const char* method, const std::string& path, const std::string& body, const HeaderList& headers) {
        const auto answer = http(port, method, path, body, headers);
        std::string text = answer.body;
        // The log-in's cookie is the one place that a token is for.
        for (const auto& [name, value] : answer.headers)
            if (name != "set-cookie") text += "\n" + name + ": " + value;
        seen.emplace_back("the answer to " + std::string(method) + " " + path.substr(0, 30), text);
    };
    const std::string refused_url = R"({"url":"https://user:)" + secrets.url_password + R"(@site.example/a"})";
    ask("GET", "/api/jobs", "", {{"cookie", "jobrt_token=" + token}});
    ask("GET", "/api/jobs", "", bearer(secrets.wrong_token));
    ask("GET", "/api/jobs?token=" + token, "", {});
    ask("GET", "/api/jobs/" + token, "", bearer(token));
    ask("GET", "/api/jobs?cursor=" + token, "", bearer(token));
    ask("GET", "/api/jobs", "", {{"authorization", "Basic " + secrets.authorization}});
    ask("GET", "/api/jobs/none", "", {{"authorization", "Bearer " + token}, {"proxy-authorization", "Basic " + secrets.authorization},
                                      {"cookie", "other=" + secrets.cookie}, {"referer", "https://site.example/?token=" + secrets.signature}});
    ask("POST", "/login", R"({"token":")" + token + R"("})", {});
    ask("POST", "/login", R"({"token":")" + secrets.wrong_token + R"("})", {});
    ask("POST", "/login", "token=" + token, {{"content-type", "application/x-www-form-urlencoded"}});
    ask("POST", "/logout", "{}", {{"cookie", "jobrt_token=" + token}});
    ask("GET", "/api/session", "", {{"authorization", "Bearer " + token}, {"x-trace-id", token}, {"user-agent", token}});
    ask("POST", "/api/jobs", refused_url, bearer(token));
    ask("POST", "/api/jobs", R"({"kind":"demo.echo","payload":{)", bearer(token));
    ask("POST", "/api/jobs", R"({"kind":"demo.echo"})",
        {{"authorization", "Bearer " + token}, {"x-forwarded-for", secrets.wrong_token}, {"idempotency-key", "k"}});
    ask("PATCH", "/api/capabilities", R"({"platforms":{"nobody":true}})", bearer(token));
    for (const auto* path : {"/api/status", "/api/workers", "/api/telemetry?limit=2000", "/api/jobs?limit=100", "/metrics", "/api/health",
                             "/api/worker/health", "/api/capabilities"})
        ask("GET", path, "", bearer(token));
    return seen;
}

}  // namespace

TEST_CASE("no secret shows in logs, the database and its WAL, events, the stream, answers, metrics, commands and doctor") {
    const Folder folder;
    Secrets secrets;
    std::atomic<int> kept_while_fetched = 0;  // How often the rows held the medium's address while it was fetched: the control.
    test::TestServer site;
    site.on("/first.mp4", [&secrets](const test::ServedConnection& connection, const test::ServedRequest&) {
        connection.send("HTTP/1.1 302 Found\r\nLocation: /film.mp4?token=" + secrets.redirect + "\r\nSet-Cookie: s=" + secrets.site_cookie +
                        "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    });
    site.on("/none.mp4", test::status(500));
    write_extractor(folder, site, secrets);
    auto variables = variables_of(folder, secrets);
    const auto made = jobrt({"token", "create", "ada", "--role", "admin"}, variables, folder.path());
    REQUIRE_MESSAGE(made.status.code == 0, made.err);
    const auto token = made.out.substr(0, made.out.size() - 1);
    secrets.token = token.substr(13);
    Seen seen{{"the errors of token create", made.err}};

    site.on("/film.mp4", [&, film = made_clip()](const test::ServedConnection& connection, const test::ServedRequest& request) {
        if (rows_of(folder / "jobs.db").find(secrets.medium) != std::string::npos) ++kept_while_fetched;
        test::serve({.bytes = film})(connection, request);
    });

    for (const char* format : {"text", "json"}) {
        CAPTURE(format);
        variables["JOBRT_LOG_FORMAT"] = format;
        Service service(folder, variables);
        REQUIRE_FALSE(service.ready().empty());
        const int port = service.port();
        Stream stream(port, "/api/telemetry/stream", bearer(token));
        const auto submit = [&](const std::string& url) {
            const auto answer = http(port, "POST", "/api/jobs", R"({"url":")" + url + R"("})", bearer(token));
            REQUIRE_MESSAGE(answer.status == 201, answer.body);
            return text(answer.json().at("job").as_object(), "id");
        };
        const auto state = [&](const std::string& id) {
            return text(http(port, "GET", "/api/jobs/" + id, "", bearer(token)).json().at("job").as_object(), "status");
        };
        const auto film = submit("http://127.0.0.1/" + std::string(format));
        const auto gone = submit("http://127.0.0.1/gone-" + std::string(format));
        const auto none = submit("http://127.0.0.1/none-" + std::string(format));
        // The last is tried again later.
        CHECK(eventually(60s, [&] { return state(film) == "completed" && state(gone) == "failed" && (state(none) == "scheduled" || state(none) == "failed"); }));
        for (auto& row : ask_with_secrets(port, token, secrets)) seen.push_back(std::move(row));
        for (const auto& id : {film, gone, none})
            seen.emplace_back("the job", http(port, "GET", "/api/jobs/" + id, "", bearer(token)).body);
        const auto rows = rows_of(folder / "jobs.db");
        CHECK_MESSAGE(rows.find(secrets.medium) == std::string::npos, "a row has the address of a medium that is saved");
        CHECK(rows.find(secrets.missing) != std::string::npos);
        // While it runs, the WAL holds what the database does not have yet.
        for (auto& row : files_below(folder.path(), "|site.sh|canary.json|")) seen.push_back(std::move(row));
        CHECK(fs::exists(folder / "jobs.db-wal"));
        const bool told = eventually(30s, [&] { return stream.text().find("has its key") != std::string::npos; });
        CHECK_MESSAGE(told, "the stream does not have what the extractor said");
        seen.emplace_back("the stream", stream.text());
        std::ofstream(folder / "mine") << token << "\n";
        auto mine = variables;
        mine["PORT"] = std::to_string(port);
        mine["JOBRT_API_TOKEN_FILE"] = folder / "mine";
        for (const std::vector<std::string>& command :
             {std::vector<std::string>{"doctor"}, {"config", "show"}, {"config", "show", "--json"}, {"jobs", "list"}, {"jobs", "show", film},
              {"jobs", "show", gone}, {"jobs", "show", none}, {"events"}, {"token", "list"}, {"health"}}) {
            const auto ended = jobrt(command, mine, folder.path(), 60s);
            seen.emplace_back("what jobrt " + command.front() + " says", ended.out + ended.err);
        }
        fs::remove(folder / "mine");
        service.program().stop();
        seen.emplace_back("the output", service.program().out());
        seen.emplace_back("the log", service.program().err());
    }
    for (auto& row : files_below(folder.path(), "|site.sh|canary.json|")) seen.push_back(std::move(row));
    none_shows(secrets, seen);

    // The control: the secrets were there, and reached those whom they are for.
    bool came = false, sent_on = false, signed_too = false;
    for (const auto& request : site.requests()) {
        sent_on = sent_on || request.target.find(secrets.redirect) != std::string::npos;
        signed_too = signed_too || request.target.find(secrets.medium) != std::string::npos;
        came = came || (request.header("cookie").find(secrets.cookie) != std::string::npos &&
                        request.header("authorization").find(secrets.authorization) != std::string::npos);
    }
    CHECK(came);
    CHECK(sent_on);
    CHECK(signed_too);
    CHECK(kept_while_fetched >= 2);
    std::string all;
    for (const auto& [where, text] : seen) all += text;
    CHECK(all.find("has its key") != std::string::npos);
    CHECK(all.find("sig=***") != std::string::npos);
    CHECK(all.find("user:***@site.example") != std::string::npos);
    CHECK(all.find("Cookie: ***") != std::string::npos);
}

TEST_CASE("the password of a database that does not answer shows nowhere") {
    const Folder folder;
    Secrets secrets;
    auto variables = environment(folder);
    variables.erase("JOBRT_STORE");
    // Nobody listens there.
    const auto nobody = ":" + secrets.mongodb + "@127.0.0.1:1/jobs?serverSelectionTimeoutMS=300&connectTimeoutMS=300";
    variables["MONGODB_URI"] = "mongodb://ada" + nobody;
    Seen seen;
    for (const std::vector<std::string>& command :
         {std::vector<std::string>{"doctor"}, {"config", "show"}, {"config", "show", "--json"}, {"jobs", "list"},
          {"store", "backup", folder / "copy.db"}}) {
        const auto ended = jobrt(command, variables, folder.path(), 60s);
        CHECK(ended.in_time);
        seen.emplace_back("what jobrt " + command.front() + " says", ended.out + ended.err);
    }
    {
        // It serves all the same, and tries the store again and again.
        Service service(folder, variables);
        auto& program = service.program();
        CHECK(eventually(30s, [&] { return program.err().find("a beat failed") != std::string::npos; }));
        CHECK(program.stop().has_value());
        seen.emplace_back("the start", program.out() + program.err());
    }
    variables["MONGODB_URI"] = "mongodb//ada:" + secrets.mongodb + "@127.0.0.1:1/jobs";
    const auto wrong = jobrt({}, variables, folder.path());
    CHECK(wrong.status.code == 2);
    seen.emplace_back("a start with a malformed URI", wrong.out + wrong.err);
    for (auto& row : files_below(folder.path(), "")) seen.push_back(std::move(row));
    none_shows(secrets, seen);
    std::string all;
    for (const auto& [where, text] : seen) all += text;
    CHECK(all.find("127.0.0.1") != std::string::npos);
}

TEST_CASE("cookies that are imported are in the profile, and not in what jobrt says or keeps of it") {
    const Folder folder;
    Secrets secrets;
    const auto variables = environment(folder);
    std::ofstream(folder / "cookies.txt") << ".x.com\tTRUE\t/\tTRUE\t4102444800\tauth_token\t" << secrets.profile_cookie << "\n";
    Seen seen;
    for (const std::vector<std::string>& command :
         {std::vector<std::string>{"auth", "import", "x", "cookies.txt"}, {"auth", "status"}, {"doctor"}, {"config", "show"}}) {
        const auto ended = jobrt(command, variables, folder.path(), 90s);
        seen.emplace_back("what jobrt " + command.front() + " says", ended.out + ended.err);
    }
    // The browser keeps cookies in its own profile; nothing of ours does.
    for (const auto& entry : fs::directory_iterator(folder.path()))
        if (entry.is_regular_file() && entry.path().filename() != "cookies.txt")
            seen.emplace_back(entry.path().string(), contents(entry.path().string()));
    none_shows(secrets, seen);
}
