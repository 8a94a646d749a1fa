// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <string>

#include <doctest/doctest.h>

#include "media/aes128.hpp"
#include "media/hls_playlist.hpp"

using namespace jobruntime;
using namespace jobruntime::media;

namespace {

const net::Url base = *net::parse_url("https://cdn.example.org/v/index.m3u8?t=1");

StreamMedia media_of(const std::string& lines) {
    auto read = parse_hls("#EXTM3U\n" + lines, base);
    REQUIRE_MESSAGE(read, read.error().message);
    REQUIRE(std::holds_alternative<StreamMedia>(*read));
    return std::get<StreamMedia>(*std::move(read));
}
HlsMaster master_of(const std::string& lines) {
    auto read = parse_hls("#EXTM3U\n" + lines, base);
    REQUIRE_MESSAGE(read, read.error().message);
    REQUIRE(std::holds_alternative<HlsMaster>(*read));
    return std::get<HlsMaster>(*std::move(read));
}
std::string code_of(const std::string& text, const HlsLimits& limits = {}) {
    const auto read = parse_hls(text, base, limits);
    return read ? "ok" : read.error().name;
}

}  // namespace

TEST_CASE("a media playlist says what to fetch, for how long and in which order") {
    const auto media = media_of(
        "#EXT-X-TARGETDURATION:5\r\n#EXT-X-MEDIA-SEQUENCE:7\r\n#EXTINF:4.004,a title, with a "
        "comma\r\na.ts?x=1#f\r\n\r\n"
        "# a remark\n#EXT-X-UNKNOWN:1\n#EXT-X-DISCONTINUITY\n#EXTINF:3\n/b.ts\n#EXT-X-GAP\n#EXTINF:2,\n"
        "https://other.example/c.ts\n#EXT-X-ENDLIST");
    REQUIRE(media.segments.size() == 3);
    CHECK(media.segments[0].url == "https://cdn.example.org/v/a.ts?x=1");
    CHECK(media.segments[1].url == "https://cdn.example.org/b.ts");
    CHECK(media.segments[2].url == "https://other.example/c.ts");
    CHECK(media.segments[0].sequence == 7);
    CHECK(media.segments[2].sequence == 9);
    CHECK_FALSE(media.segments[0].discontinuity);
    CHECK(media.segments[1].discontinuity);
    CHECK_FALSE(media.segments[2].discontinuity);
    CHECK(media.segments[2].gap);
    CHECK(media.seconds() == doctest::Approx(7.004));
    CHECK(media.target_seconds == 5);
    CHECK(media.ended);
    CHECK_FALSE(media.whole_seconds);
    CHECK(media_of("#EXTINF:3,\na.ts\n").whole_seconds);
    CHECK_FALSE(media_of("#EXTINF:3,\na.ts\n").ended);
}

TEST_CASE("byte ranges continue where the one before ended, in the same file only") {
    const auto media = media_of(
        "#EXT-X-MAP:URI=\"f.mp4\",BYTERANGE=\"100@0\"\n#EXTINF:1,\n#EXT-X-BYTERANGE:50@100\nf.mp4\n#EXTINF:1,"
        "\n"
        "#EXT-X-BYTERANGE:25\nf.mp4\n#EXT-X-ENDLIST\n");
    CHECK(media.inits.at(0).range == ByteRange{0, 100});
    CHECK(media.segments[0].range == ByteRange{100, 50});
    CHECK(media.segments[1].range == ByteRange{150, 25});
    CHECK(media.segments[1].init == 0);
    CHECK(code_of("#EXTM3U\n#EXTINF:1,\n#EXT-X-BYTERANGE:25\nf.mp4\n") == "NOT_MEDIA");
    CHECK(code_of(
              "#EXTM3U\n#EXTINF:1,\n#EXT-X-BYTERANGE:5@1\nf.mp4\n#EXTINF:1,\n#EXT-X-BYTERANGE:5\ng.mp4\n") ==
          "NOT_MEDIA");
    for (const char* range : {"0@5", "-1", "5@", "@5", "5@-1", "99999999999999999999", "5 @1"})
        CHECK(code_of("#EXTM3U\n#EXTINF:1,\n#EXT-X-BYTERANGE:" + std::string(range) + "\nf.mp4\n") ==
              "NOT_MEDIA");
}

TEST_CASE("keys and their initialization vectors") {
    const auto media = media_of(
        "#EXT-X-MEDIA-SEQUENCE:258\n#EXTINF:1,\nclear.ts\n#EXT-X-KEY:METHOD=AES-128,URI=\"k1\"\n#EXTINF:1,"
        "\na.ts\n"
        "#EXT-X-KEY:METHOD=AES-128,URI=\"https://keys.example/"
        "k2?a=1,2\",IV=0x0F\n#EXT-X-MAP:URI=\"i.mp4\"\n#EXTINF:1,\n"
        "b.ts\n#EXT-X-KEY:METHOD=NONE\n#EXTINF:1,\nc.ts\n");
    CHECK_FALSE(media.segments[0].key);
    REQUIRE(media.segments[1].key);
    CHECK(media.segments[1].key->url == "https://cdn.example.org/v/k1");
    // The media sequence number 259 in network order.
    CHECK(media.segments[1].key->iv ==
          std::array<std::uint8_t, 16>{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3});
    REQUIRE(media.segments[2].key);
    CHECK(media.segments[2].key->url == "https://keys.example/k2?a=1,2");
    CHECK(media.segments[2].key->iv ==
          std::array<std::uint8_t, 16>{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 15});
    CHECK(media.inits.at(0).key == media.segments[2].key);
    CHECK_FALSE(media.segments[3].key);
    struct Row {
        const char* key;
        const char* code;
    };
    const Row table[] = {
        {"METHOD=SAMPLE-AES,URI=\"k\"", "DRM_PROTECTED"},
        {"METHOD=SAMPLE-AES-CTR,URI=\"data:text/plain;base64,AAAA\",KEYFORMAT=\"identity\"", "DRM_PROTECTED"},
        {"METHOD=ISO-23001-7,URI=\"k\"", "DRM_PROTECTED"},
        {"METHOD=AES-128,URI=\"skd://k\",KEYFORMAT=\"com.apple.streamingkeydelivery\"", "DRM_PROTECTED"},
        {"METHOD=AES-128,URI=\"k\",KEYFORMAT=\"identity\"", "ok"},
        {"URI=\"k\"", "DRM_PROTECTED"},
        {"METHOD=AES-128", "NOT_MEDIA"},
        {"METHOD=AES-128,URI=\"k\",IV=12", "NOT_MEDIA"},
        {"METHOD=AES-128,URI=\"k\",IV=0x123456789012345678901234567890123", "NOT_MEDIA"},
        {"METHOD=AES-128,URI=\"data:;base64,AAAA\"", "UNSUPPORTED_SOURCE"},
        {"METHOD=AES-128,URI=\"file:///etc/passwd\"", "INVALID_URL"},
        {"METHOD=AES-128,URI=\"k", "NOT_MEDIA"}};
    for (const Row& row : table) {
        CAPTURE(row.key);
        CHECK(code_of("#EXTM3U\n#EXT-X-KEY:" + std::string(row.key) + "\n#EXTINF:1,\na.ts\n") == row.code);
    }
    CHECK(code_of("#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXT-X-MAP:URI=\"i\"\n#EXTINF:1,\na\n") ==
          "NOT_MEDIA");
}

TEST_CASE("each key applies until the next of its format, and one that we know is enough") {
    const std::string ours = "#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x01\n", segment = "#EXTINF:1,\na.ts\n", map = "#EXT-X-MAP:URI=\"i\"\n";
    const std::string named = "#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x01,KEYFORMAT=\"identity\"\n";
    const std::string apple = "#EXT-X-KEY:METHOD=AES-128,URI=\"skd://k\",KEYFORMAT=\"com.apple.streamingkeydelivery\"\n";
    const std::string other = "#EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI=\"data:,x\",KEYFORMAT=\"urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed\"\n";
    const std::string sample = "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"k\"\n", none = "#EXT-X-KEY:METHOD=NONE\n";
    const std::string next_apple = "#EXT-X-KEY:METHOD=AES-128,URI=\"skd://l\",KEYFORMAT=\"com.apple.streamingkeydelivery\"\n";
    const std::string foreign = "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://k\",KEYFORMAT=\"com.apple.streamingkeydelivery\"\n";
    const std::string no_other = "#EXT-X-KEY:METHOD=NONE,KEYFORMAT=\"urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed\"\n";
    const std::string no_apple = "#EXT-X-KEY:METHOD=NONE,KEYFORMAT=\"com.apple.streamingkeydelivery\"\n";
    const std::string key = "https://cdn.example.org/v/k";
    for (const auto& keys : {ours + apple, apple + ours, other + ours + apple, other + ours, sample + ours, ours + map + apple,
                             ours + segment + apple + ours, apple + ours + map, ours + segment + apple, ours + other + no_other,
                             apple + named, named + segment + apple + segment, ours + apple + segment + no_apple, ours + other + ours,
                             ours + segment + apple + map, apple + map + ours, apple + map + other + named + segment}) {
        CAPTURE(keys);
        const auto both = media_of(keys + segment);
        for (const auto& one : both.segments) CHECK((one.key && one.key->url == key));
        for (const auto& one : both.inits) CHECK((one.key && one.key->url == key && one.key->iv.back() == 1));
        CHECK(both.inits.size() == (keys.find("MAP") == std::string::npos ? 0u : 1u));
        CHECK(both.segments.back().init.has_value() == !both.inits.empty());
    }
    for (const auto& keys : {apple + other, ours + sample, ours + apple + sample, apple + map, sample + apple, segment + apple,
                             apple + other + no_apple, sample + no_apple, apple + map + none, ours + segment + sample + apple,
                             ours + none + apple, ours + segment + none + segment + apple, apple + map + no_apple,
                             // Nothing is encrypted in two ways: another method takes the place of ours.
                             ours + other, ours + segment + other, ours + segment + other + apple, ours + segment + foreign,
                             named + segment + apple + segment + other,
                             // A key of ours is that of a map that stands before it only if it joins the map's own.
                             apple + map + none + ours, apple + map + no_apple + ours, apple + map + none + segment + ours,
                             apple + map + next_apple + ours}) {
        CAPTURE(keys);
        CHECK(code_of("#EXTM3U\n" + keys + segment) == "DRM_PROTECTED");
    }
    for (const auto& keys : {apple + none, ours + apple + none, apple + ours + segment + none, apple + other + none, apple + no_apple,
                             ours + segment + apple + segment + none}) {
        CAPTURE(keys);
        CHECK_FALSE(media_of(keys + segment).segments.back().key);
    }
    // Samples' encryption leaves initialization sections alone.
    for (const auto& keys : {other + map + none, sample + map + ours, other + map + ours, ours + segment + foreign + map + none}) {
        CAPTURE(keys);
        CHECK_FALSE(media_of(keys + segment).inits.at(0).key);
    }
    CHECK(code_of("#EXTM3U\n" + segment + apple + map) == "ok");  // Nothing is left that they are for.
    // A map that no segment uses needs no key.
    CHECK(media_of(apple + map + none + "#EXT-X-MAP:URI=\"j\"\n" + segment).inits.at(0).url == "https://cdn.example.org/v/j");
    CHECK(code_of("#EXTM3U\n" + apple + map + "#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n" + segment) == "NOT_MEDIA");  // Without IV.
    CHECK(parse_hls("#EXTM3U\n" + apple + segment, base).error().message.find("com.apple.streamingkeydelivery") != std::string::npos);
    std::string many = "#EXTM3U\n";
    for (int i = 0; i <= 100; ++i) many += "#EXT-X-KEY:METHOD=AES-128,URI=\"k\",KEYFORMAT=\"f" + std::to_string(i) + "\"\n";
    CHECK(code_of(many + ours + segment) == "NOT_MEDIA");
}

TEST_CASE("the best variant within a height, with its sound") {
    const auto master = master_of(
        "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"hi\",NAME=\"de\",URI=\"de.m3u8\",AUTOSELECT=YES\n"
        "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"hi\",NAME=\"en, US\",URI=\"en.m3u8\",DEFAULT=YES\n"
        "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"hi\",NAME=\"x\",URI=\"x.m3u8\"\n"
        "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"muxed\",NAME=\"in it\",DEFAULT=YES\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=900,RESOLUTION=640x360,CODECS=\"avc1.64001f,mp4a.40.2\",AUDIO="
        "\"muxed\"\n360.m3u8\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=2000, RESOLUTION=1280x720,CODECS=\"hvc1.1\",AUDIO=\"hi\"\n720h.m3u8\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=1500,RESOLUTION=1280x720,CODECS=\"avc1.64001f\",AUDIO=\"hi\"\n720.m3u8\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=1800,RESOLUTION=1280x720,CODECS=\"avc1.64001f\",AUDIO=\"hi\"\n720b."
        "m3u8\n"
        "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"i.m3u8\"\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=99999,CODECS=\"mp4a.40.2\"\nsound.m3u8\n");
    const auto best = [&](int height) { return rank_variants(master, height).value().front().url; };
    CHECK(best(0) == "https://cdn.example.org/v/720b.m3u8");
    CHECK(best(719) == "https://cdn.example.org/v/360.m3u8");
    CHECK(best(100) == "https://cdn.example.org/v/360.m3u8");
    const auto ranked = rank_variants(master, 0).value();
    CHECK(ranked.size() == 4);
    const auto* sound = audio_of(master, ranked.front());
    REQUIRE(sound);
    CHECK(sound->url == "https://cdn.example.org/v/en.m3u8");
    CHECK(sound->name == "en, US");
    CHECK_FALSE(audio_of(master, ranked.back()));
    const auto only_sound = rank_variants(master_of("#EXT-X-STREAM-INF:CODECS=\"mp4a.40.2\"\na\n"), 0);
    REQUIRE_FALSE(only_sound);
    CHECK(only_sound.error().name == "NO_VIDEO");
    CHECK(rank_variants(master_of("#EXT-X-STREAM-INF:BANDWIDTH=1\na\n"),
                        0));  // It does not say; the file will.
}

TEST_CASE("hostile and broken playlists are refused by name") {
    const HlsLimits small{.max_bytes = 10'000, .max_segments = 3, .max_variants = 2};
    std::string many = "#EXTM3U\n";
    for (int i = 0; i < 4; ++i) many += "#EXTINF:1,\ns.ts\n";
    std::string variants = "#EXTM3U\n";
    for (int i = 0; i < 3; ++i) variants += "#EXT-X-STREAM-INF:BANDWIDTH=1\nv\n";
    struct Row {
        std::string text;
        const char* code;
    };
    const Row table[] = {
        {"", "NOT_MEDIA"},
        {"<!doctype html><html></html>", "NOT_MEDIA"},
        {"#EXTM3U8\n", "NOT_MEDIA"},
        {"\xef\xbb\xbf#EXTM3U\n#EXTINF:1,\na.ts\n", "ok"},
        {"#EXTM3U\na.ts\n", "NOT_MEDIA"},
        {"#EXTM3U\n#EXTINF:abc,\na.ts\n", "NOT_MEDIA"},
        {"#EXTM3U\n#EXTINF:-1,\na.ts\n", "NOT_MEDIA"},
        {"#EXTM3U\n#EXTINF:nan,\na.ts\n", "NOT_MEDIA"},
        {"#EXTM3U\n#EXTINF:inf,\na.ts\n", "NOT_MEDIA"},
        {"#EXTM3U\n#EXTINF:1e300,\na.ts\n", "NOT_MEDIA"},
        {"#EXTM3U\n#EXTINF:99999999999,\na.ts\n", "NOT_MEDIA"},
        {"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "INVALID_URL"},
        {"#EXTM3U\n#EXTINF:1,\nhttps://u@127.0.0.1/a.ts\n", "INVALID_URL"},
        {"#EXTM3U\n#EXTINF:1,\ndata:video/mp2t;base64,AAAA\n", "INVALID_URL"},
        {"#EXTM3U\n#EXT-X-I-FRAMES-ONLY\n", "UNSUPPORTED_SOURCE"},
        {"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n", "NOT_MEDIA"},
        {"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv\n#EXTINF:1,\na.ts\n", "NOT_MEDIA"},
        {"#EXTM3U\n#EXTINF:1,\na.ts\n#EXT-X-MEDIA-SEQUENCE:5\n", "NOT_MEDIA"},
        {"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:99999999999999999999\n", "NOT_MEDIA"},
        {"#EXTM3U\n#EXT-X-MAP:BYTERANGE=\"1@0\"\n", "NOT_MEDIA"},
        {std::string("#EXTM3U\n#EXTINF:1,\n") + std::string(9'000, 'a') + "\n", "INVALID_URL"},
        {std::string("#EXTM3U\n") + std::string(10'000, 'a'), "TOO_LARGE"},
        {std::string("#EXTM3U\n#EXTINF:1,\n\0.ts\n", 24), "INVALID_URL"},
        {many, "TOO_LONG"},
        {variants, "NOT_MEDIA"}};
    for (const Row& row : table) {
        CAPTURE(row.text.substr(0, 80));
        CHECK(code_of(row.text, small) == row.code);
    }
    // Many of what is compared with each other stays quick.
    std::string maps = "#EXTM3U\n";
    for (int i = 0; i < 200'000; ++i) maps += "#EXT-X-MAP:URI=\"" + std::to_string(i) + "\"\n";
    CHECK(code_of(maps) == "NOT_MEDIA");
    // And a long base does not make much memory of short lines.
    const net::Url deep =
        *net::parse_url("https://cdn.example.org/" + std::string(7'000, 'd') + "/i", net::max_fetch_url);
    std::string lines = "#EXTM3U\n";
    for (int i = 0; i < 20'000; ++i) lines += "#EXTINF:1,\na\n";
    const auto wide = parse_hls(lines, deep);
    REQUIRE_FALSE(wide);
    CHECK(wide.error().name == "TOO_LARGE");
    // Nor does a long key of many segments, or a section that each of them begins with.
    const std::string head = "#EXTM3U\n", far(7'000, 'k');
    const auto key = "#EXT-X-KEY:METHOD=AES-128,IV=0x00000000000000000000000000000001,URI=\"" + far + "\"\n";
    CHECK(code_of(head + key + lines.substr(head.size())) == "TOO_LARGE");
    CHECK(code_of(head + "#EXT-X-MAP:URI=\"" + far + "\"\n" + lines.substr(head.size())) == "ok");
    std::string runs = head + "#EXT-X-MAP:URI=\"" + far + "\"\n";
    for (int i = 0; i < 20'000; ++i) runs += "#EXT-X-DISCONTINUITY\n#EXTINF:1,\na\n";
    CHECK(code_of(runs) == "TOO_LARGE");
}

TEST_CASE("AES-128 is undone however the bytes are cut") {
    // NIST SP 800-38A, F.2.2 (CBC-AES128.Decrypt), block 1, and a block of padding encrypted after it.
    const AesCbc::Block key{0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6,
                            0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c};
    const AesCbc::Block iv{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const unsigned char cipher[] = {0x76, 0x49, 0xab, 0xac, 0x81, 0x19, 0xb2, 0x46, 0xce, 0xe9, 0x8e,
                                    0x9b, 0x12, 0xe9, 0x19, 0x7d, 0x89, 0x64, 0xe0, 0xb1, 0x49, 0xc1,
                                    0x0b, 0x7b, 0x68, 0x2e, 0x6e, 0x39, 0xaa, 0xeb, 0x73, 0x1c};
    const unsigned char plain[] = {0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96,
                                   0xe9, 0x3d, 0x7e, 0x11, 0x73, 0x93, 0x17, 0x2a};
    const std::string bytes(reinterpret_cast<const char*>(cipher), sizeof cipher);
    const std::string wanted(reinterpret_cast<const char*>(plain), sizeof plain);
    for (const std::size_t step : {1, 7, 16, 32}) {
        AesCbc cbc(key, iv);
        std::string out;
        for (std::size_t at = 0; at < bytes.size(); at += step)
            REQUIRE(cbc.add(std::string_view(bytes).substr(at, step), out));
        REQUIRE(cbc.end(out));
        CHECK(out == wanted);
    }
    AesCbc cut(key, iv);
    std::string out;
    REQUIRE(cut.add(std::string_view(bytes).substr(0, 20), out));
    CHECK_FALSE(cut.end(out));
    AesCbc other(iv, iv);
    out.clear();
    REQUIRE(other.add(bytes, out));
    CHECK_FALSE(other.end(out));
}

TEST_CASE("whatever is done to a playlist, reading it ends with a playlist or an error") {
    const std::string master =
        "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"x\",URI=\"a.m3u8\"\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=2x3,CODECS=\"avc1,mp4a\",AUDIO=\"a\"\nv.m3u8\n";
    const std::string media =
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-MAP:URI=\"i\",BYTERANGE=\"4@0\"\n"
        "#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x01\n#EXTINF:1.5,t\n#EXT-X-BYTERANGE:5@9\ns.mp4\n#EXT-X-"
        "GAP\n"
        "#EXT-X-DISCONTINUITY\n#EXTINF:2,\n#EXT-X-BYTERANGE:5\ns.mp4\n#EXT-X-ENDLIST\n";
    constexpr char letters[] = "\n\r\"=,:@x.#%0129-A \0\xff";
    const std::string_view alphabet(letters, sizeof letters - 1);
    std::uint32_t state = 7;
    const auto next = [&state](std::size_t below) {
        state = state * 1664525 + 1013904223;
        return static_cast<std::size_t>(state >> 8) % below;
    };
    std::size_t read_well = 0;
    for (int round = 0; round < 40'000; ++round) {
        std::string text = round % 2 == 0 ? master : media;
        for (std::size_t changes = 1 + next(4); changes > 0; --changes) {
            const auto at = 8 + next(text.size() - 8);
            switch (next(4)) {
                case 0: text[at] = alphabet[next(alphabet.size())]; break;
                case 1: text.insert(at, 1, alphabet[next(alphabet.size())]); break;
                case 2: text.erase(at, 1 + next(6)); break;
                default: text.insert(at, text.substr(8 + next(text.size() - 8), next(40)));
            }
        }
        const auto read = parse_hls(text, base);
        if (!read) {
            CHECK_FALSE(read.error().name.empty());
            continue;
        }
        ++read_well;
        if (const auto* list = std::get_if<StreamMedia>(&*read)) {
            for (const auto& segment : list->segments) {
                REQUIRE(net::parse_url(segment.url, net::max_fetch_url));
                REQUIRE((!segment.init || *segment.init < list->inits.size()));
                REQUIRE((!segment.range || segment.range->length > 0));
                REQUIRE((segment.seconds >= 0 && segment.seconds < 1e9));
            }
        } else {
            for (const auto& variant : std::get<HlsMaster>(*read).variants)
                REQUIRE(net::parse_url(variant.url, net::max_fetch_url));
        }
    }
    CHECK(read_well >
          5'000);  // Else the changes are so coarse that nothing behind the first lines is reached.
}

TEST_CASE("variables stand for their values in addresses and attributes, below where they are defined") {
    const std::string text = "#EXTM3U\n#EXT-X-DEFINE:NAME=\"host\",VALUE=\"https://other.example/x\"\n"
                             "#EXT-X-DEFINE:NAME=\"n_1-A\",VALUE=\"{$host}\"\n#EXT-X-DEFINE:NAME=\"none\",VALUE=\"\"\n"
                             "#EXT-X-DEFINE:QUERYPARAM=\"t\"\n#EXT-X-DEFINE:IMPORT=\"folder\"\n"
                             "#EXT-X-DEFINE:NAME=\"iv\",VALUE=\"0x0000000000000000000000000000000a\"\n"
                             "#EXT-X-MAP:URI=\"{$host}/init.mp4?t={$t}\"\n"
                             "#EXT-X-KEY:METHOD=AES-128,URI=\"{$folder}/the.key\",IV={$iv}\n"
                             "#EXTINF:1,a {$title} and {$\n{$host}/{$none}1.ts?{$t}{$t}\n#EXTINF:1,\n2.ts\n# {$comment}\n"
                             "#EXTINF:1,\n{$n_1-A}\n";
    const auto master = master_of("#EXT-X-DEFINE:NAME=\"folder\",VALUE=\"/keys\"\n#EXT-X-DEFINE:QUERYPARAM=\"t\"\n"
                                  "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{$folder}\",NAME=\"n\",URI=\"{$t}/sound\"\n"
                                  "#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"{$folder}\"\n{$folder}/v\n");
    CHECK(master.variants.at(0).url == "https://cdn.example.org/keys/v");
    CHECK(audio_of(master, master.variants.at(0))->url == "https://cdn.example.org/v/1/sound");
    const auto read = parse_hls(text, base, {}, master.variables);
    REQUIRE_MESSAGE(read, read.error().message);
    const auto& media = std::get<StreamMedia>(*read);
    CHECK(media.inits.at(0).url == "https://other.example/x/init.mp4?t=1");
    REQUIRE(media.segments.size() == 3);
    // What {$n_1-A} stands for is not looked through.
    CHECK_MESSAGE(media.segments[2].url.starts_with("https://cdn.example.org/v/"), media.segments[2].url);
    CHECK(media.segments[0].url == "https://other.example/x/1.ts?11");
    CHECK(media.segments[1].url == "https://cdn.example.org/v/2.ts");
    CHECK(media.segments[1].key->url == "https://cdn.example.org/keys/the.key");
    CHECK(media.segments[1].key->iv.back() == 10);
    CHECK(parse_hls(text, base).error().name == "NOT_MEDIA");  // Without its master playlist.
}

TEST_CASE("variables that are wrong, or make too much of a playlist, are refused") {
    const std::string head = "#EXTM3U\n", segment = "#EXTINF:1,\n";
    const auto define = [](const std::string& what) { return "#EXT-X-DEFINE:" + what + "\n"; };
    const auto a = define("NAME=\"a\",VALUE=\"b\"");
    const std::pair<std::string, const char*> table[] = {
        {a + segment + "{$a}.ts\n", "ok"},
        {segment + "{$a}.ts\n" + a, "NOT_MEDIA"},
        {a + segment + "{$b}.ts\n", "NOT_MEDIA"},
        {a + segment + "{$a.ts\n", "NOT_MEDIA"},
        {a + segment + "{$}.ts\n", "NOT_MEDIA"},
        {a + a, "NOT_MEDIA"},
        {a + define("QUERYPARAM=\"a\""), "NOT_MEDIA"},
        {define("NAME=\"a\""), "NOT_MEDIA"},
        {define("VALUE=\"a\""), "NOT_MEDIA"},
        {define("NAME=\"a b\",VALUE=\"\""), "NOT_MEDIA"},
        {define("NAME=\"\",VALUE=\"\""), "NOT_MEDIA"},
        {define("NAME=\"a\",VALUE=\"b\",QUERYPARAM=\"t\""), "NOT_MEDIA"},
        {define("IMPORT=\"a\",VALUE=\"b\""), "NOT_MEDIA"},
        {define("IMPORT=\"a\""), "NOT_MEDIA"},
        {define("QUERYPARAM=\"u\""), "NOT_MEDIA"},
        {define("QUERYPARAM=\"t\"") + segment + "{$t}\n", "ok"},
        {define(""), "NOT_MEDIA"},
    };
    for (const auto& [lines, code] : table) {
        CAPTURE(lines);
        CHECK(code_of(head + lines) == code);
    }
    const auto twice = *net::parse_url("https://cdn.example.org/i?t=1&tt=2&t=3&empty=&bare");
    for (const auto* name : {"t", "empty", "bare", "none"})
        CHECK(parse_hls(head + define("QUERYPARAM=\"" + std::string(name) + "\""), twice).error().name == "NOT_MEDIA");
    CHECK(parse_hls(head + define("QUERYPARAM=\"tt\""), twice));
    const auto large = define("NAME=\"a\",VALUE=\"" + std::string(20'000, 'x') + "\"");
    CHECK(code_of(head + large + segment + "{$a}{$a}\n") == "NOT_MEDIA");  // Longer than a line may be.
    std::string many = head + large;
    for (int i = 0; i < 5'000; ++i) many += "#EXT-X-MEDIA:TYPE=VIDEO,NAME=\"{$a}\"\n";
    CHECK(code_of(many) == "TOO_LARGE");
}
