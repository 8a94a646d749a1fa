// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <sys/stat.h>

#include <fstream>

#include <doctest/doctest.h>

#include "support.hpp"

// Access tokens with real processes: made, used, rotated, revoked; and never shown again.
using namespace jobruntime;
using namespace jobruntime::e2e;

namespace {

/// What `jobrt token create` prints, without its line's end.
std::string make_token(const Folder& folder, const Variables& variables, const char* name, const char* role) {
    const auto made = jobrt({"token", "create", name, "--role", role}, variables, folder.path());
    REQUIRE_MESSAGE(made.status.code == 0, made.err);
    REQUIRE(made.out.starts_with("jrt_"));
    CHECK(made.err.find(made.out.substr(13, 64)) == std::string::npos);
    return made.out.substr(0, made.out.size() - 1);
}

HeaderList bearer(const std::string& token) { return {{"authorization", "Bearer " + token}}; }

}  // namespace

TEST_CASE("with tokens the API serves every address, by role, and shows no token anywhere") {
    const Folder folder;
    auto variables = environment(folder);
    variables["JOBRT_TOKEN_FILE"] = folder / "tokens";
    variables["JOBRT_HOST"] = "0.0.0.0";
    const auto refused = jobrt({}, variables, folder.path());
    CHECK(refused.status.code == 2);
    CHECK_MESSAGE(refused.err.find("jobrt token create") != std::string::npos, refused.err);

    const auto reader = make_token(folder, variables, "reader", "read");
    const auto admin = make_token(folder, variables, "ada", "admin");
    Service service(folder, variables);
    REQUIRE_FALSE(service.ready().empty());
    const int port = service.port();
    CHECK(http(port, "GET", "/api/health").status == 200);
    CHECK(http(port, "GET", "/api/worker/health").status == 200);
    for (const auto* path : {"/api/jobs", "/api/status", "/api/telemetry/stream", "/metrics", "/downloads/a/b.mp4"}) {
        CAPTURE(path);
        const auto answer = http(port, "GET", path);
        CHECK(answer.status == 401);
        CHECK(answer.headers.at("www-authenticate").starts_with("Bearer"));
        CHECK(text(answer.json(), "code") == "UNAUTHORIZED");
    }
    CHECK(http(port, "GET", "/api/jobs", "", bearer(reader)).status == 200);
    CHECK(http(port, "GET", "/metrics", "", bearer(reader)).body.find("jobrt_build_info") != std::string::npos);
    const std::string job = R"({"kind":"demo.echo","payload":{}})";
    CHECK(http(port, "POST", "/api/jobs", job, bearer(reader)).status == 403);
    const auto made = http(port, "POST", "/api/jobs", job, bearer(admin));
    CHECK(made.status == 201);
    CHECK(http(port, "PATCH", "/api/capabilities", R"({"platforms":{"x":false}})", bearer(reader)).status == 403);
    CHECK(http(port, "PATCH", "/api/capabilities", R"({"platforms":{"x":false}})", bearer(admin)).status == 200);

    const auto login = http(port, "POST", "/login", R"({"token":")" + reader + R"("})");
    REQUIRE(login.headers.contains("set-cookie"));
    const auto cookie = login.headers.at("set-cookie");
    CHECK(cookie.find("HttpOnly; SameSite=Strict") != std::string::npos);
    CHECK(http(port, "GET", "/api/session", "", {{"cookie", cookie.substr(0, cookie.find(';'))}}).json().at("name") == "reader");

    // The command line sends the token that its file holds.
    const auto api = "http://127.0.0.1:" + std::to_string(port);
    auto mine = environment(folder);
    const std::vector<std::string> save{"save", "https://x.com/home", "--api", api};
    const auto without = jobrt(save, mine, folder.path());
    CHECK_MESSAGE(without.err.find("UNAUTHORIZED") != std::string::npos, without.err);
    std::ofstream(folder / "mine") << admin << "\n";
    mine["JOBRT_API_TOKEN_FILE"] = folder / "mine";
    const auto with = jobrt(save, mine, folder.path());
    CHECK_MESSAGE(with.err.find("INVALID_URL") != std::string::npos, with.err);

    // Rotation: the second works beside the first, which then goes.
    const auto next = make_token(folder, variables, "ada", "admin");
    CHECK(http(port, "GET", "/api/jobs", "", bearer(next)).status == 200);
    CHECK(http(port, "GET", "/api/jobs", "", bearer(admin)).status == 200);
    CHECK(jobrt({"token", "create", "ada"}, variables, folder.path()).status.code == 1);
    CHECK(jobrt({"token", "revoke", admin.substr(4, 8)}, variables, folder.path()).status.code == 0);
    CHECK(http(port, "GET", "/api/jobs", "", bearer(admin)).status == 401);
    CHECK(http(port, "GET", "/api/jobs", "", bearer(next)).status == 200);

    std::string telemetry;
    const bool audited = eventually(30s, [&] {
        telemetry = http(port, "GET", "/api/telemetry?limit=2000", "", bearer(next)).body;
        for (const auto* name : {"api.change.refused", "api.change.done", "api.login.refused", "api.token.created", "api.token.revoked"})
            if (telemetry.find(name) == std::string::npos) return false;
        return true;
    });
    CHECK_MESSAGE(audited, telemetry);
    CHECK(telemetry.find("\"caller\":\"ada\"") != std::string::npos);
    const auto listed = jobrt({"token", "list"}, variables, folder.path());
    CHECK(listed.out.find("reader") != std::string::npos);
    service.program().stop();
    const std::string seen = telemetry + listed.out + service.program().out() + service.program().err() +
                             contents(folder / "tokens") + (on_mongo() ? "" : contents(variables.at("JOBRT_STORE").substr(7)));
    for (const auto& token : {reader, admin, next}) CHECK(seen.find(token.substr(13)) == std::string::npos);
    struct stat facts {};
    REQUIRE(stat((folder / "tokens").c_str(), &facts) == 0);
    CHECK((facts.st_mode & 07777) == 0600);
}
