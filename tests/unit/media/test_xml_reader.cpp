// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <string>

#include <doctest/doctest.h>

#include "media/dash_values.hpp"
#include "media/xml_reader.hpp"

using namespace jobruntime;
using namespace jobruntime::media;

TEST_CASE("XML is read strictly, and nothing in it makes much of little") {
    const auto read_text = [](const std::string& text) {
        const auto root = parse_xml(text);
        return root ? root->text + "|" + root->get("a").value_or("-") : root.error().name;
    };
    CHECK(read_text("<r a='1 &lt; &#50; &#x26; &quot;'> x &amp; <!-- <no> --><![CDATA[<y>&]]><?pi?> </r >") ==
          "x & <y>&|1 < 2 & \"");
    CHECK(read_text("<?xml version='1.0' encoding='UTF-8'?><!-- a --><r>&#233;</r>\n") == "?|-");
    CHECK(read_text("<r\n\ta = \"'\"\n/>") == "|'");
    const char* const wrong[] = {"",
                                 " ",
                                 "r",
                                 "<",
                                 "<r",
                                 "<r>",
                                 "<r/",
                                 "<r></s>",
                                 "<r></r",
                                 "<r/><r/>",
                                 "<r/>x",
                                 "x<r/>",
                                 "< r/>",
                                 "<r a/>",
                                 "<r a=1/>",
                                 "<r a='1/>",
                                 "<r a='1'b='2'/>",
                                 "<r a='1' a='2'/>",
                                 "<r a='<'/>",
                                 "<r a='&x;'/>",
                                 "<r>&</r>",
                                 "<r>&x;</r>",
                                 "<r>&amp</r>",
                                 "<r>&#0;</r>",
                                 "<r>&#1114112;</r>",
                                 "<r>&#x;</r>",
                                 "<r>&#-1;</r>",
                                 "<r><!-- </r>",
                                 "<r><![CDATA[</r>",
                                 "<r><!ENTITY x 'y'></r>",
                                 "<r><?pi </r>",
                                 "<r>\x01</r>",
                                 "<r><s></r></s>",
                                 "<1/>",
                                 "<!DOCTYPE r [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><r>&b;</r>",
                                 "<!DOCTYPE r SYSTEM 'file:///etc/passwd'><r/>",
                                 "\xff\xfe<\0r\0/\0>\0"};
    for (const char* text : wrong) {
        CAPTURE(text);
        CHECK(read_text(text) == "NOT_MEDIA");
    }
    CHECK(read_text(std::string("<r>\0</r>", 8)) == "NOT_MEDIA");
    std::string deep, open(200'000, ' ');
    for (int i = 0; i < 25; ++i) deep += "<r>";
    CHECK(read_text(deep) == "NOT_MEDIA");
    for (std::size_t i = 0; i + 3 <= open.size(); i += 3) open.replace(i, 3, "<r>");
    CHECK(read_text(open) == "NOT_MEDIA");
    std::string wide = "<r>";
    for (int i = 0; i < 250'001; ++i) wide += "<s/>";
    CHECK(read_text(wide + "</r>") == "NOT_MEDIA");
    std::string attributes;
    for (int i = 0; i < 65; ++i) attributes += " a" + std::to_string(i) + "=''";
    CHECK(read_text("<r" + attributes + "/>") == "NOT_MEDIA");
}

TEST_CASE("durations of XML Schema") {
    CHECK(dash_seconds("PT1H2M3.5S") == 3723.5);
    CHECK(dash_seconds("P1DT1S") == 86'401);
    CHECK(dash_seconds("PT0S") == 0);
    for (const char* wrong : {"", "P", "PT", "10", "PT10", "PTS", "PT-1S", "-PT1S", "PT1e3S", "PT1SX", "P1S",
                              "PT1D", "PT1ST2S", "PT99999999999999999999S", "PTinfS", "PT0x1S", "P2Y"}) {
        CAPTURE(wrong);
        CHECK_FALSE(dash_seconds(wrong));
    }
}
