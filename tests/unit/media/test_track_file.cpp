// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <filesystem>

#include "clips.hpp"
#include "media/track_file.hpp"

using namespace jobruntime::media;
using jobruntime::media_test::read_file;
using jobruntime::media_test::TempDir;
using jobruntime::media_test::write_file;
namespace fs = std::filesystem;

namespace {

Piece piece(int n, bool begins_run = false) {
    return {.url = "https://cdn.example/s" + std::to_string(n) + ".ts?sig=" + std::to_string(n * 7),
            .seconds = 1.5,
            .sequence = static_cast<std::uint64_t>(n),
            .begins_run = begins_run};
}

/// Three pieces of four bytes, the third in a run of its own, and half of a fourth.
void fill(const std::string& path) {
    auto file = TrackFile::open(path);
    REQUIRE(file);
    for (int n = 0; n < 3; ++n) {
        REQUIRE(file->append("abc" + std::to_string(n)));
        REQUIRE(file->finish_piece(piece(n, n == 2)));
    }
    REQUIRE(file->append("ha"));
}

}  // namespace

TEST_CASE("what was finished is there for the next attempt, what was not is cut off") {
    const TempDir dir;
    const auto path = dir.path("source.stream");
    fill(path);
    auto file = TrackFile::open(path);
    REQUIRE(file);
    REQUIRE(file->entries().size() == 3);
    CHECK(file->size() == 12);
    CHECK(file->seconds() == doctest::Approx(4.5));
    CHECK(file->runs() == std::vector<std::uint64_t>{0, 8});
    CHECK(file->entries()[2].sequence == 2);
    // The same piece under another signature, and no other one.
    auto signed_anew = piece(2);
    signed_anew.url = "https://cdn.example/s2.ts?sig=new";
    CHECK(file->entries()[2].id == signed_anew.id());
    CHECK(file->entries()[2].id != piece(1).id());
    REQUIRE(file->append("xyz"));
    REQUIRE(file->drop_unfinished());
    REQUIRE(file->cut(2));
    REQUIRE(file->append("more"));
    REQUIRE(file->finish_piece(piece(9)));
    REQUIRE(file->sync());
    CHECK(read_file(path) == "abc0abc1more");
    CHECK(TrackFile::open(path)->entries().size() == 3);
}

TEST_CASE("a journal that was torn, or that promises more than there is, is believed as far as it goes") {
    struct Row {
        const char* what;
        std::size_t kept;
    };
    const Row table[] = {{"torn", 2}, {"short", 1}, {"nonsense", 0}, {"descending", 1}, {"gone", 0}};
    for (const Row& row : table) {
        CAPTURE(row.what);
        const TempDir dir;
        const auto path = dir.path("source.stream");
        fill(path);
        const std::string log = read_file(path + ".log");
        const auto second = log.find('\n', log.find('\n') + 1) + 1;
        const std::string_view what = row.what;
        if (what == "torn") write_file(path + ".log", log.substr(0, log.size() - 5));
        if (what == "short") fs::resize_file(path, 7);
        if (what == "nonsense") write_file(path + ".log", "some other file\n" + log);
        if (what == "descending") write_file(path + ".log", log.substr(0, second) + "00 1 1.5 4 00\n");
        if (what == "gone") fs::remove(path + ".log");
        const auto file = TrackFile::open(path);
        REQUIRE(file);
        CHECK(file->entries().size() == row.kept);
        CHECK(fs::file_size(path) == row.kept * 4);
    }
}
