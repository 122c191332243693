//! Ports and their regions. Codes and names of ports are UN/LOCODE facts; the regions are this project's own.

pub struct Port {
    /// UN/LOCODE: two letters of the country, three of the place.
    pub code: &'static str,
    pub name: &'static str,
    pub region: &'static str,
}

pub struct Region {
    pub slug: &'static str,
    pub name: &'static str,
    pub parent: Option<&'static str>,
}

const fn port(code: &'static str, name: &'static str, region: &'static str) -> Port {
    Port { code, name, region }
}

const fn top(slug: &'static str, name: &'static str) -> Region {
    Region {
        slug,
        name,
        parent: None,
    }
}

const fn part(slug: &'static str, name: &'static str, parent: &'static str) -> Region {
    Region {
        slug,
        name,
        parent: Some(parent),
    }
}

pub const REGIONS: &[Region] = &[
    top("asia", "Asia"),
    top("europe", "Europe"),
    top("americas", "The Americas"),
    top("africa", "Africa"),
    part("east_asia", "East Asia", "asia"),
    part("southeast_asia", "Southeast Asia", "asia"),
    part("indian_ocean", "Indian Ocean", "asia"),
    part("bohai_rim", "Bohai Rim", "east_asia"),
    part("yangtze_delta", "Yangtze Delta", "east_asia"),
    part("pearl_river_delta", "Pearl River Delta", "east_asia"),
    part("taiwan_strait", "Taiwan Strait", "east_asia"),
    part("japan", "Japan", "east_asia"),
    part("korea", "Korea", "east_asia"),
    part("malacca_strait", "Strait of Malacca", "southeast_asia"),
    part("mekong", "Mekong and Chao Phraya", "southeast_asia"),
    part(
        "sunda_islands",
        "Sunda Islands and the Philippines",
        "southeast_asia",
    ),
    part("india_west", "India, West Coast", "indian_ocean"),
    part("bay_of_bengal", "Bay of Bengal", "indian_ocean"),
    part("arabian_sea", "Arabian Sea and Red Sea", "indian_ocean"),
    part("atlantic_europe", "Atlantic Europe", "europe"),
    part("baltic_sea", "Baltic Sea", "europe"),
    part("mediterranean", "Mediterranean", "europe"),
    part("hamburg_le_havre", "Hamburg to Le Havre", "atlantic_europe"),
    part("british_isles", "British Isles", "atlantic_europe"),
    part("norwegian_coast", "Norwegian Coast", "atlantic_europe"),
    part("iberia_atlantic", "Iberia, Atlantic Coast", "atlantic_europe"),
    part("gulf_of_finland", "Gulf of Finland", "baltic_sea"),
    part("baltic_states", "Baltic States", "baltic_sea"),
    part("polish_coast", "Polish Coast", "baltic_sea"),
    part("danish_straits", "Danish Straits", "baltic_sea"),
    part("bothnian_sea", "Bothnian Sea and Stockholm", "baltic_sea"),
    part("western_mediterranean", "Western Mediterranean", "mediterranean"),
    part("adriatic", "Adriatic", "mediterranean"),
    part("eastern_mediterranean", "Eastern Mediterranean", "mediterranean"),
    part("north_america_pacific", "North America, Pacific", "americas"),
    part("north_america_atlantic", "North America, Atlantic", "americas"),
    part("gulf_of_mexico", "Gulf of Mexico", "americas"),
    part("south_america_atlantic", "South America, Atlantic", "americas"),
    part("south_america_pacific", "South America, Pacific", "americas"),
    part("southern_africa", "Southern and East Africa", "africa"),
    part("west_africa", "West Africa", "africa"),
];

pub const PORTS: &[Port] = &[
    port("AEJEA", "Jebel Ali", "arabian_sea"),
    port("ARBUE", "Buenos Aires", "south_america_atlantic"),
    port("BDCGP", "Chittagong", "bay_of_bengal"),
    port("BEANR", "Antwerpen", "hamburg_le_havre"),
    port("BEZEE", "Zeebrugge", "hamburg_le_havre"),
    port("BRPNG", "Paranaguá", "south_america_atlantic"),
    port("BRRIO", "Rio de Janeiro", "south_america_atlantic"),
    port("BRSSZ", "Santos", "south_america_atlantic"),
    port("CAHAL", "Halifax", "north_america_atlantic"),
    port("CAMTR", "Montréal", "north_america_atlantic"),
    port("CAVAN", "Vancouver", "north_america_pacific"),
    port("CLSAI", "San Antonio", "south_america_pacific"),
    port("CLVAP", "Valparaíso", "south_america_pacific"),
    port("CNDLC", "Dalian", "bohai_rim"),
    port("CNFOC", "Fuzhou", "taiwan_strait"),
    port("CNGGZ", "Guangzhou", "pearl_river_delta"),
    port("CNLYG", "Lianyungang", "bohai_rim"),
    port("CNNGB", "Ningbo", "yangtze_delta"),
    port("CNNKG", "Nanjing", "yangtze_delta"),
    port("CNNSA", "Nansha", "pearl_river_delta"),
    port("CNSHA", "Shanghai", "yangtze_delta"),
    port("CNSHK", "Shekou", "pearl_river_delta"),
    port("CNSWA", "Shantou", "pearl_river_delta"),
    port("CNSZX", "Shenzhen", "pearl_river_delta"),
    port("CNTAO", "Qingdao", "bohai_rim"),
    port("CNTXG", "Xingang (Tianjin)", "bohai_rim"),
    port("CNXMN", "Xiamen", "taiwan_strait"),
    port("CNYNT", "Yantai", "bohai_rim"),
    port("CNYTN", "Yantian", "pearl_river_delta"),
    port("COCTG", "Cartagena", "south_america_atlantic"),
    port("DEBRV", "Bremerhaven", "hamburg_le_havre"),
    port("DEHAM", "Hamburg", "hamburg_le_havre"),
    port("DEWVN", "Wilhelmshaven", "hamburg_le_havre"),
    port("DKAAR", "Aarhus", "danish_straits"),
    port("DKCPH", "København", "danish_straits"),
    port("DKFRC", "Fredericia", "danish_straits"),
    port("ECGYE", "Guayaquil", "south_america_pacific"),
    port("EEMUG", "Muuga", "gulf_of_finland"),
    port("EETLL", "Tallinn", "gulf_of_finland"),
    port("EGPSD", "Port Said", "eastern_mediterranean"),
    port("ESALG", "Algeciras", "western_mediterranean"),
    port("ESBCN", "Barcelona", "western_mediterranean"),
    port("ESBIO", "Bilbao", "iberia_atlantic"),
    port("ESVLC", "Valencia", "western_mediterranean"),
    port("FIHEL", "Helsinki (Helsingfors)", "gulf_of_finland"),
    port("FIHMN", "Hamina", "gulf_of_finland"),
    port("FIKTK", "Kotka", "gulf_of_finland"),
    port("FIRAU", "Rauma", "bothnian_sea"),
    port("FITKU", "Turku (Åbo)", "bothnian_sea"),
    port("FRDKK", "Dunkerque", "hamburg_le_havre"),
    port("FRLEH", "Le Havre", "hamburg_le_havre"),
    port("FRMRS", "Marseille", "western_mediterranean"),
    port("GBBEL", "Belfast", "british_isles"),
    port("GBFXT", "Felixstowe", "british_isles"),
    port("GBGRG", "Grangemouth", "british_isles"),
    port("GBLGP", "London Gateway", "british_isles"),
    port("GBLIV", "Liverpool", "british_isles"),
    port("GBSOU", "Southampton", "british_isles"),
    port("GBTEE", "Teesport", "british_isles"),
    port("GHTEM", "Tema", "west_africa"),
    port("GRPIR", "Piraeus", "eastern_mediterranean"),
    port("HKHKG", "Hong Kong", "pearl_river_delta"),
    port("HRRJK", "Rijeka", "adriatic"),
    port("IDJKT", "Jakarta", "sunda_islands"),
    port("IDSUB", "Surabaya", "sunda_islands"),
    port("IEDUB", "Dublin", "british_isles"),
    port("IEORK", "Cork", "british_isles"),
    port("ILHFA", "Haifa", "eastern_mediterranean"),
    port("INCCU", "Kolkata", "bay_of_bengal"),
    port("INCOK", "Cochin", "india_west"),
    port("INMAA", "Chennai", "bay_of_bengal"),
    port("INMUN", "Mundra", "india_west"),
    port("INNSA", "Nhava Sheva", "india_west"),
    port("ITGOA", "Genova", "western_mediterranean"),
    port("ITLIV", "Livorno", "western_mediterranean"),
    port("ITSPE", "La Spezia", "western_mediterranean"),
    port("ITTRS", "Trieste", "adriatic"),
    port("ITVCE", "Venezia", "adriatic"),
    port("JPHKT", "Hakata", "japan"),
    port("JPNGO", "Nagoya", "japan"),
    port("JPOSA", "Osaka", "japan"),
    port("JPTYO", "Tokyo", "japan"),
    port("JPUKB", "Kobe", "japan"),
    port("JPYOK", "Yokohama", "japan"),
    port("KEMBA", "Mombasa", "southern_africa"),
    port("KRINC", "Incheon", "korea"),
    port("KRKAN", "Gwangyang", "korea"),
    port("KRPUS", "Busan", "korea"),
    port("LKCMB", "Colombo", "bay_of_bengal"),
    port("LTKLJ", "Klaipėda", "baltic_states"),
    port("LVRIX", "Rīga", "baltic_states"),
    port("LVVNT", "Ventspils", "baltic_states"),
    port("MYPEN", "Penang", "malacca_strait"),
    port("MYPKG", "Port Klang", "malacca_strait"),
    port("MYTPP", "Tanjung Pelepas", "malacca_strait"),
    port("NGAPP", "Apapa", "west_africa"),
    port("NLAMS", "Amsterdam", "hamburg_le_havre"),
    port("NLRTM", "Rotterdam", "hamburg_le_havre"),
    port("NOAES", "Ålesund", "norwegian_coast"),
    port("NOBGO", "Bergen", "norwegian_coast"),
    port("NOKRS", "Kristiansand", "norwegian_coast"),
    port("NOOSL", "Oslo", "norwegian_coast"),
    port("NOSVG", "Stavanger", "norwegian_coast"),
    port("NOTRD", "Trondheim", "norwegian_coast"),
    port("PECLL", "Callao", "south_america_pacific"),
    port("PHMNL", "Manila", "sunda_islands"),
    port("PKKHI", "Karachi", "arabian_sea"),
    port("PLGDN", "Gdańsk", "polish_coast"),
    port("PLGDY", "Gdynia", "polish_coast"),
    port("PLSZZ", "Szczecin", "polish_coast"),
    port("PTLIS", "Lisboa", "iberia_atlantic"),
    port("PTSIE", "Sines", "iberia_atlantic"),
    port("SAJED", "Jeddah", "arabian_sea"),
    port("SEGOT", "Göteborg", "danish_straits"),
    port("SEGVX", "Gävle", "bothnian_sea"),
    port("SEHEL", "Helsingborg", "danish_straits"),
    port("SEMMA", "Malmö", "danish_straits"),
    port("SESTO", "Stockholm", "bothnian_sea"),
    port("SGSIN", "Singapore", "malacca_strait"),
    port("SIKOP", "Koper", "adriatic"),
    port("THBKK", "Bangkok", "mekong"),
    port("THLCH", "Laem Chabang", "mekong"),
    port("TRMER", "Mersin", "eastern_mediterranean"),
    port("TWKEL", "Keelung", "taiwan_strait"),
    port("TWKHH", "Kaohsiung", "taiwan_strait"),
    port("USBAL", "Baltimore", "north_america_atlantic"),
    port("USCHS", "Charleston", "north_america_atlantic"),
    port("USHOU", "Houston", "gulf_of_mexico"),
    port("USLAX", "Los Angeles", "north_america_pacific"),
    port("USLGB", "Long Beach", "north_america_pacific"),
    port("USMSY", "New Orleans", "gulf_of_mexico"),
    port("USNYC", "New York", "north_america_atlantic"),
    port("USOAK", "Oakland", "north_america_pacific"),
    port("USORF", "Norfolk", "north_america_atlantic"),
    port("USSAV", "Savannah", "north_america_atlantic"),
    port("USSEA", "Seattle", "north_america_pacific"),
    port("UYMVD", "Montevideo", "south_america_atlantic"),
    port("VNHPH", "Haiphong", "mekong"),
    port("VNSGN", "Ho Chi Minh City", "mekong"),
    port("ZACPT", "Cape Town", "southern_africa"),
    port("ZADUR", "Durban", "southern_africa"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_and_slug_is_there_once_and_in_its_form() {
        let codes: BTreeSet<_> = PORTS.iter().map(|port| port.code).collect();
        assert_eq!(codes.len(), PORTS.len());
        assert!(
            codes
                .iter()
                .all(|code| code.len() == 5 && code.bytes().all(|byte| byte.is_ascii_uppercase()))
        );
        let slugs: BTreeSet<_> = REGIONS.iter().map(|region| region.slug).collect();
        assert_eq!(slugs.len(), REGIONS.len());
        assert!(
            slugs
                .iter()
                .all(|slug| slug.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
        );
    }

    #[test]
    fn every_port_and_every_region_below_another_has_a_known_parent() {
        let slugs: BTreeSet<_> = REGIONS.iter().map(|region| region.slug).collect();
        let parents = PORTS
            .iter()
            .map(|port| port.region)
            .chain(REGIONS.iter().filter_map(|region| region.parent));
        for parent in parents {
            assert!(slugs.contains(parent), "{parent} is not among the regions");
        }
    }
}
