// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <sstream>
#include <thread>

#include <doctest/doctest.h>
#include <jobruntime/telemetry_sink.hpp>

#include "host/src/sha256.hpp"
#include "host/src/token_check.hpp"

using namespace jobruntime;
using namespace jobruntime::host;

namespace {

struct Folder {
    Folder() {
        std::string pattern = (std::filesystem::temp_directory_path() / "jobrt-tokens-XXXXXX").string();
        REQUIRE(mkdtemp(pattern.data()) != nullptr);
        path = pattern;
    }
    ~Folder() { std::filesystem::remove_all(path); }
    std::string file() const { return path + "/tokens"; }
    std::string text() const {
        std::ostringstream all;
        all << std::ifstream(file()).rdbuf();
        return all.str();
    }
    std::string path;
};

const Time now{Duration{1'767'225'600'000}};

NewToken made(const Folder& folder, const std::string& name, Role role = Role::read) {
    auto token = create_token(folder.file(), name, role, now);
    REQUIRE_MESSAGE(token, token.error().message);
    return *std::move(token);
}

}  // namespace

TEST_CASE("sha256 gives the digests of FIPS 180-4's examples") {
    CHECK(sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    CHECK(sha256(std::string(1'000'000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    // Lengths around a block's end.
    CHECK(sha256(std::string(55, 'a')) == "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
    CHECK(sha256(std::string(64, 'a')) == "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
}

TEST_CASE("a token works as soon as it is made and no longer than until it is revoked; its text is nowhere") {
    const Folder folder;
    const auto ada = made(folder, "ada", Role::admin);
    const auto bob = made(folder, "bob");
    TokenCheck check(folder.file(), {});
    REQUIRE(check.start());
    const auto caller = check.caller(ada.text);
    REQUIRE(caller);
    CHECK(caller->name == "ada");
    CHECK(caller->id == ada.token.id);
    CHECK(caller->role == Role::admin);
    CHECK(check.caller(bob.text)->role == Role::read);
    for (const auto& wrong : {std::string(), std::string("x"), ada.text + "0", ada.text.substr(1), ada.token.hash,
                              ada.text.substr(0, ada.text.size() - 1), std::string(100'000, 'a')})
        CHECK_FALSE(check.caller(wrong));
    const auto late = made(folder, "late", Role::operate);
    CHECK(check.caller(late.text)->role == Role::operate);
    REQUIRE(revoke_token(folder.file(), "ada"));
    CHECK_FALSE(check.caller(ada.text));
    CHECK(check.caller(bob.text));
    CHECK(folder.text().find(bob.text) == std::string::npos);
    CHECK(folder.text().find(bob.text.substr(13)) == std::string::npos);
    struct stat facts {};
    REQUIRE(stat(folder.file().c_str(), &facts) == 0);
    CHECK((facts.st_mode & 07777) == 0600);
}

TEST_CASE("a name has two tokens for a rotation, and not a third") {
    const Folder folder;
    const auto old_one = made(folder, "ada");
    const auto new_one = made(folder, "ada");
    CHECK(old_one.text != new_one.text);
    const auto third = create_token(folder.file(), "ada", Role::read, now);
    REQUIRE_FALSE(third);
    CHECK(third.error().name == "TOO_MANY_TOKENS");
    TokenCheck check(folder.file(), {});
    CHECK(check.caller(old_one.text));
    CHECK(check.caller(new_one.text));
    const auto either = revoke_token(folder.file(), "ada");
    REQUIRE_FALSE(either);
    CHECK(either.error().name == "AMBIGUOUS");
    REQUIRE(revoke_token(folder.file(), old_one.token.id));
    CHECK_FALSE(check.caller(old_one.text));
    CHECK(check.caller(new_one.text));
    CHECK(revoke_token(folder.file(), "nobody").error().name == "NO_SUCH_TOKEN");
    for (const auto* name : {"", "a b", "a\nb", "\xc3\xa9"}) CHECK_FALSE(create_token(folder.file(), name, Role::read, now));
}

TEST_CASE("a file that is missing, open to others, broken or empty lets nobody in and says what to do") {
    const Folder folder;
    std::vector<std::string> lines;
    TokenCheck check(folder.file(), [&](std::string_view line) { lines.emplace_back(line); });
    CHECK(check.start().error().message.find("jobrt token create") != std::string::npos);
    const auto ada = made(folder, "ada");
    REQUIRE(check.start());
    REQUIRE(check.caller(ada.text));
    REQUIRE(chmod(folder.file().c_str(), 0640) == 0);
    CHECK_FALSE(check.caller(ada.text));
    CHECK_FALSE(check.caller(ada.text));
    CHECK(lines.size() == 1);
    CHECK(check.start().error().message.find("chmod 600") != std::string::npos);
    CHECK_FALSE(create_token(folder.file(), "bob", Role::read, now));
    REQUIRE(chmod(folder.file().c_str(), 0600) == 0);
    CHECK(check.caller(ada.text));
    const auto good = folder.text();
    for (const auto* broken : {"", "{", "[]", "{\"tokens\":{}}", "{\"tokens\":[1]}", "{\"tokens\":[{\"id\":\"12345678\"}]}"}) {
        CAPTURE(broken);
        std::ofstream(folder.file()) << broken;
        CHECK_FALSE(check.caller(ada.text));
        CHECK(check.start().error().name == "TOKEN_FILE_REFUSED");
        CHECK_FALSE(create_token(folder.file(), "bob", Role::read, now));
    }
    std::ofstream(folder.file()) << "{\"tokens\":[]}";
    CHECK_FALSE(check.caller(ada.text));
    CHECK(check.start().error().message.find("no token in it") != std::string::npos);
    std::ofstream(folder.file()) << good;
    CHECK(check.caller(ada.text));
    std::filesystem::remove(folder.file());
    CHECK_FALSE(check.caller(ada.text));
}

TEST_CASE("a token that comes or goes is told of, once, and not those that were there") {
    const Folder folder;
    const auto first = made(folder, "ada", Role::admin);
    std::vector<std::string> told;
    TokenCheck check(folder.file(), {}, [&](const Token& token, bool is_made) { told.push_back((is_made ? "+" : "-") + token.id); });
    REQUIRE(check.start());
    CHECK(check.caller(first.text));
    CHECK(told.empty());
    const auto second = made(folder, "bob");
    CHECK(check.caller(second.text));
    CHECK(told == std::vector<std::string>{"+" + second.token.id});
    // A file that is broken for a while has revoked nobody.
    const auto good = folder.text();
    std::ofstream(folder.file()) << "{";
    CHECK_FALSE(check.caller(first.text));
    std::ofstream(folder.file()) << good;
    CHECK(check.caller(first.text));
    CHECK(told.size() == 1);
    REQUIRE(revoke_token(folder.file(), "bob"));
    CHECK_FALSE(check.caller(second.text));
    CHECK_FALSE(check.caller(second.text));
    CHECK(told == std::vector<std::string>{"+" + second.token.id, "-" + second.token.id});
}

TEST_CASE("what is no plain file, or grows without end, is refused, and nobody waits for it") {
    const Folder folder;
    const auto ada = made(folder, "ada");
    TokenCheck check(folder.file(), {});
    REQUIRE(check.start());
    const auto put = [&](const std::function<void()>& make) {
        std::filesystem::remove(folder.file());
        make();
        const auto read = read_tokens(folder.file());
        REQUIRE_FALSE(read);
        CHECK_FALSE(check.caller(ada.text));
        return read.error().message;
    };
    CHECK(put([&] { REQUIRE(mkfifo(folder.file().c_str(), 0600) == 0); }).find("no plain file") != std::string::npos);
    CHECK(put([&] { std::filesystem::create_symlink("/dev/zero", folder.file()); }).find("no plain file") != std::string::npos);
    CHECK(put([&] { std::filesystem::create_directory(folder.file()); }).find("no plain file") != std::string::npos);
    CHECK(put([&] {
              std::ofstream(folder.file()) << "{";
              REQUIRE(chmod(folder.file().c_str(), 0600) == 0);
              std::filesystem::resize_file(folder.file(), 1ull << 40);
          }).find("larger than 1 MiB") != std::string::npos);
    std::filesystem::remove(folder.file());
    const auto bob = made(folder, "bob");
    CHECK(check.caller(bob.text));
    CHECK(check.count().value() == 1);
}

TEST_CASE("a look at the file that hangs holds up nobody for long: what was read last counts, for a while, until one is quick") {
    using namespace std::chrono_literals;
    const Folder folder;
    const auto ada = made(folder, "ada");
    std::promise<void> hangs, goes_on;
    std::atomic<int> said = 0, shut = 0;
    TokenDisk disk;
    disk.patience = 100ms;
    disk.good_for = 1'500ms;
    disk.look_every = 10ms;
    TokenCheck check(
        folder.file(),
        [&](std::string_view line) {
            said += line.find("does not answer") != std::string_view::npos;
            shut += line.find("nobody can come in") != std::string_view::npos;
        },
        [&, n = 0](const Token&, bool) mutable {
            if (n++ > 0) return;
            hangs.set_value();
            goes_on.get_future().wait();
        },
        disk);
    const auto begun = std::chrono::steady_clock::now();  // Before the last look that finds the file as it is.
    REQUIRE(check.start());
    const auto bob = made(folder, "bob");
    CHECK(check.caller(bob.text));  // Waits half a second for the look that has found it.
    hangs.get_future().wait();
    CHECK(said == 1);
    REQUIRE(revoke_token(folder.file(), "ada"));
    CHECK_FALSE(check.caller("jrt_12345678_" + std::string(64, '0')));
    CHECK(check.count().error().code == Errc::unavailable);
    int known = 0;
    while (check.caller(ada.text)) ++known;
    CHECK(std::chrono::steady_clock::now() - begun >= 1'400ms);
    CHECK(known > 100);  // Half a second each it would be three.
    CHECK_FALSE(check.caller(bob.text));
    CHECK(said == 1);
    CHECK(shut == 1);
    goes_on.set_value();
    while (!check.caller(bob.text)) std::this_thread::yield();
    while (check.caller(ada.text)) std::this_thread::yield();
    CHECK(check.count().value() == 1);
}

TEST_CASE("a file on a slow disk is waited for by one, not by each who asks; what was made and revoked counts soon") {
    using namespace std::chrono_literals;
    const Folder folder;
    const auto ada = made(folder, "ada");
    std::atomic<bool> slow = true;
    std::atomic<int> looks = 0;
    TokenDisk disk;
    disk.look_every = 10ms;
    disk.one_in = 4;  // So that it is soon quick again, for the test.
    disk.stamp_of = [&](const std::string& path) {
        ++looks;
        if (slow) std::this_thread::sleep_for(300ms);
        return token_file::stamp_of(path);
    };
    TokenCheck check(folder.file(), {}, {}, disk);
    REQUIRE(check.start());
    const auto begun = std::chrono::steady_clock::now();
    const int before = looks;
    for (int i = 0; i < 200; ++i) REQUIRE(check.caller(ada.text));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    CHECK_MESSAGE(took.count() < 10, took.count() << " s");  // 300 ms each it would be a minute.
    CHECK(looks - before <= 2 + took.count() / 0.3);
    const auto bob = made(folder, "bob");
    while (!check.caller(bob.text)) std::this_thread::yield();
    REQUIRE(revoke_token(folder.file(), "ada"));
    while (check.caller(ada.text)) std::this_thread::yield();
    CHECK(check.count().value() == 1);
    // Each look is waited for again once they are quick.
    slow = false;
    const auto noticed = [&] {
        const int seen = looks;
        return check.caller(bob.text) && check.caller(bob.text) && looks - seen == 2;
    };
    while (!noticed()) std::this_thread::yield();
}

TEST_CASE("many at once each make their token, and none is lost") {
    const Folder folder;
    std::vector<std::jthread> makers;
    for (int i = 0; i < 8; ++i)
        makers.emplace_back([&, i] {
            for (int n = 0; n < 2; ++n) (void)create_token(folder.file(), "maker" + std::to_string(i), Role::read, now).has_value();
        });
    makers.clear();
    const auto tokens = read_tokens(folder.file());
    REQUIRE(tokens);
    CHECK(tokens->size() == 16);
}

TEST_CASE("the one door hides a token wherever it stands, and keeps its id") {
    const Folder folder;
    const auto ada = made(folder, "ada");
    const auto secret = ada.text.substr(13);
    for (const auto& line : {ada.text, "got " + ada.text + " from a user", "{\"text\":\"" + ada.text + "\"}", "x" + ada.text}) {
        CAPTURE(line);
        CHECK(redact(line).find(secret) == std::string::npos);
        CHECK(redact(line).find("jrt_" + ada.token.id + "_***") != std::string::npos);
    }
}
