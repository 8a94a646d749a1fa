// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <algorithm>

#include "http/gzip.hpp"

using namespace jobruntime;

namespace {

std::string header(const Response& response, std::string_view name) {
    for (const auto& [known, value] : response.headers)
        if (known == name) return value;
    return {};
}

Response answer(std::size_t size, std::string type = "application/json; charset=utf-8") {
    Response response;
    response.headers = {{"content-type", std::move(type)}};
    response.body = std::string(size, 'x');
    return response;
}

Request asking(std::string accepts) {
    Request request;
    if (!accepts.empty()) request.headers = {{"accept-encoding", std::move(accepts)}};
    return request;
}

}  // namespace

TEST_CASE("what Accept-Encoding says about gzip") {
    for (const char* yes : {"gzip", "GZIP", "deflate, gzip", "gzip;q=0.5", "br;q=1.0, gzip ; q=0.001", "*", "identity, *;q=0.1"}) {
        CAPTURE(yes);
        CHECK(http::takes_gzip(yes));
    }
    for (const char* no : {"", "identity", "br", "gzip;q=0", "gzip; q=0.000", "*, gzip;q=0", "*;q=0", "x-gzipped", ","}) {
        CAPTURE(no);
        CHECK_FALSE(http::takes_gzip(no));
    }
}

TEST_CASE("a long text is packed for who takes it, and caches are told; what is short, packed or no text stays") {
    auto packed = answer(5000);
    http::compress(asking("gzip"), packed);
    CHECK(header(packed, "content-encoding") == "gzip");
    CHECK(header(packed, "vary") == "accept-encoding");
    const auto& bytes = std::get<std::string>(packed.body);
    CHECK(bytes.size() < 100);
    CHECK(bytes.substr(0, 2) == "\x1f\x8b");
    auto plain = answer(5000);
    http::compress(asking(""), plain);
    CHECK(header(plain, "content-encoding").empty());
    CHECK(header(plain, "vary") == "accept-encoding");
    CHECK(std::get<std::string>(plain.body).size() == 5000);
    for (auto response : {answer(1000), answer(5000, "video/mp4"), packed}) {
        const auto before = std::get<std::string>(response.body);
        const auto headers = response.headers;
        http::compress(asking("gzip"), response);
        CHECK(std::get<std::string>(response.body) == before);
        CHECK(response.headers == headers);
    }
    // What cannot be made smaller goes as it is.
    auto noise = answer(5000);
    std::uint32_t state = 1;
    for (char& c : std::get<std::string>(noise.body)) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
    http::compress(asking("gzip"), noise);
    CHECK(header(noise, "content-encoding").empty());
    CHECK(std::get<std::string>(noise.body).size() == 5000);
}

TEST_CASE("what was packed beforehand is unpacked for who does not take it, and caches are told of both") {
    auto packed = answer(300'000, "text/javascript");
    http::compress(asking("gzip"), packed);
    REQUIRE(header(packed, "content-encoding") == "gzip");
    std::erase_if(packed.headers, [](const auto& one) { return one.first == "vary"; });
    auto taken = packed;
    http::compress(asking("br, gzip"), taken);
    CHECK(std::get<std::string>(taken.body) == std::get<std::string>(packed.body));
    CHECK(header(taken, "content-encoding") == "gzip");
    CHECK(header(taken, "vary") == "accept-encoding");
    for (const char* accepts : {"", "br", "gzip;q=0"}) {
        CAPTURE(accepts);
        auto plain = packed;
        http::compress(asking(accepts), plain);
        CHECK(std::get<std::string>(plain.body) == std::string(300'000, 'x'));
        CHECK(header(plain, "content-encoding").empty());
        CHECK(header(plain, "vary") == "accept-encoding");
    }
    // Nothing has changed: there is no body.
    auto unchanged = packed;
    unchanged.status = 304;
    unchanged.body = std::string();
    http::compress(asking(""), unchanged);
    CHECK(std::get<std::string>(unchanged.body).empty());
    CHECK(header(unchanged, "content-encoding").empty());
    CHECK(header(unchanged, "vary") == "accept-encoding");
    // Nor has a list, whose type went with it. What is never packed, a file, needs no such word.
    auto list = answer(0);
    list.status = 304;
    auto typeless = list;
    typeless.headers = {{"etag", "W/\"1\""}};
    auto film = answer(0, "video/mp4");
    film.status = 304;
    for (const char* accepts : {"", "gzip"}) {
        CAPTURE(accepts);
        for (auto same : {list, typeless}) {
            http::compress(asking(accepts), same);
            CHECK(header(same, "vary") == "accept-encoding");
            CHECK(header(same, "content-encoding").empty());
        }
        auto same = film;
        http::compress(asking(accepts), same);
        CHECK(same.headers == film.headers);
    }
    // What does not unpack stays as it is.
    auto broken = packed;
    std::get<std::string>(broken.body).resize(50);
    http::compress(asking(""), broken);
    CHECK(std::get<std::string>(broken.body).size() == 50);
    CHECK(header(broken, "content-encoding") == "gzip");
}
