// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "api_fixture.hpp"

#include <filesystem>
#include <fstream>

#include <unistd.h>

using namespace api_test;

namespace {

struct File {
    explicit File(const std::string& text) : folder(std::filesystem::temp_directory_path() / ("api-files-" + std::to_string(getpid()))) {
        std::filesystem::create_directories(folder);
        path = (folder / "f.mp4").string();
        std::ofstream(path) << text;
    }
    ~File() { std::filesystem::remove_all(folder); }
    std::filesystem::path folder;
    std::string path;

    Answer get(const Headers& headers = {}) const {
        Request request;
        request.headers = headers;
        Answer answer{file_response(request, path, "video/mp4")};
        answer.status = answer.response.status;
        return answer;
    }
};

}  // namespace

TEST_CASE("a file is answered whole, or the one range that was asked for") {
    File file("0123456789");
    const auto whole = file.get();
    CHECK(whole.status == 200);
    CHECK(whole.header("content-type") == "video/mp4");
    CHECK(whole.header("accept-ranges") == "bytes");
    CHECK(std::get<FileSlice>(whole.response.body).length == 10);
    struct Row {
        const char* range;
        int status;
        std::uint64_t offset, length;
        const char* content_range;
    };
    for (const auto& row : std::vector<Row>{{"bytes=0-3", 206, 0, 4, "bytes 0-3/10"},
                                            {"bytes=4-", 206, 4, 6, "bytes 4-9/10"},
                                            {"bytes=-3", 206, 7, 3, "bytes 7-9/10"},
                                            {"bytes=-99", 206, 0, 10, "bytes 0-9/10"},
                                            {"bytes=8-99", 206, 8, 2, "bytes 8-9/10"},
                                            {"bytes=9-9", 206, 9, 1, "bytes 9-9/10"},
                                            {"bytes=10-", 416, 0, 0, "bytes */10"},
                                            {"bytes=-0", 416, 0, 0, "bytes */10"},
                                            {"bytes=5-4", 200, 0, 10, ""},
                                            {"bytes=", 200, 0, 10, ""},
                                            {"bytes=-", 200, 0, 10, ""},
                                            {"bytes=a-b", 200, 0, 10, ""},
                                            {"bytes=0-1,3-4", 200, 0, 10, ""},
                                            {"lines=0-1", 200, 0, 10, ""},
                                            {"bytes=0-99999999999999999999", 200, 0, 10, ""}}) {
        CAPTURE(row.range);
        const auto answer = file.get({{"range", row.range}});
        CHECK(answer.status == row.status);
        CHECK(answer.header("content-range") == row.content_range);
        if (row.status == 416) continue;
        const auto& slice = std::get<FileSlice>(answer.response.body);
        CHECK(slice.offset == row.offset);
        CHECK(slice.length == row.length);
    }
}

TEST_CASE("HEAD knows no ranges: it tells of the whole file") {
    File file("0123456789");
    for (const char* range : {"bytes=0-3", "bytes=-3", "bytes=10-"}) {
        CAPTURE(range);
        const Request request{"HEAD", "/downloads/f.mp4", {{"range", range}}, "", ""};
        const auto response = file_response(request, file.path, "video/mp4");
        CHECK(response.status == 200);
        CHECK(std::ranges::none_of(response.headers, [](const auto& header) { return header.first == "content-range"; }));
        CHECK(std::get<FileSlice>(response.body).length == 10);
    }
}

TEST_CASE("a file that the client has is not sent again, and a range only of the same file") {
    File file("0123456789");
    const auto whole = file.get();
    const auto tag = whole.header("etag");
    const auto date = whole.header("last-modified");
    CHECK(tag.size() > 3);
    CHECK(date.ends_with(" GMT"));
    CHECK(file.get({{"if-none-match", tag}}).status == 304);
    CHECK(file.get({{"if-none-match", "\"x\", W/" + tag}}).status == 304);
    CHECK(file.get({{"if-none-match", "*"}}).status == 304);
    CHECK(file.get({{"if-none-match", "\"x\""}, {"if-modified-since", date}}).status == 200);
    CHECK(file.get({{"if-modified-since", date}}).status == 304);
    CHECK(file.get({{"range", "bytes=0-1"}, {"if-range", tag}}).status == 206);
    CHECK(file.get({{"range", "bytes=0-1"}, {"if-range", date}}).status == 206);
    CHECK(file.get({{"range", "bytes=0-1"}, {"if-range", "\"old\""}}).status == 200);
    std::ofstream(file.path) << "another text";
    CHECK(file.get().header("etag") != tag);
    Request request;
    CHECK(file_response(request, file.folder.string(), "video/mp4").status == 404);
    CHECK(file_response(request, file.path + "x", "video/mp4").status == 404);
}
