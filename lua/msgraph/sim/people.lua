-- lua/msgraph/sim/people.lua - who works at Contoso.
--
-- The first few are a fixed cast, so that docs, demos and specs can name them; all others follow
-- from the seed. A principal name made up here ends in the user's number, which makes it unique and
-- lets it be looked up without a table.
local random = require "msgraph.sim.random"

local M = {}

M.DOMAIN = "contoso.com"
M.INITIAL_DOMAIN = "contoso.onmicrosoft.com"

--- Kind of ids and streams (msgraph.sim.random).
M.KIND = 1

-- Given names and surnames that go together; "display=ascii" where the two differ.
local CULTURES = {
  { language = "en-US", country = "US", city = "Seattle",
    given = { "Olivia", "Noah", "Grace", "Samuel", "Anne-Marie", "Marcus" },
    surname = { "Johnson", "Smith-Jones", "Baker", "Washington", "D'Angelo", "Lee" } },
  { language = "en-IE", country = "IE", city = "Dublin",
    given = { "Seán=sean", "Niamh", "Conor", "Aoife", "Róisín=roisin" },
    surname = { "O'Brien", "O'Connor", "Ní Dhálaigh=ni.dhalaigh", "Byrne", "O'Sullivan" } },
  { language = "de-DE", country = "DE", city = "München",
    given = { "Jürgen=juergen", "Käthe=kaethe", "Björn=bjoern", "Zoë=zoe", "Lukas", "Annika" },
    surname = { "Müller=mueller", "Größmann=groessmann", "Schäfer=schaefer", "Weiß=weiss",
      "von Österreich=von.oesterreich" } },
  { language = "fr-FR", country = "FR", city = "Orléans",
    given = { "François=francois", "Éloïse=eloise", "Benoît=benoit", "Camille", "Maëlle=maelle" },
    surname = { "Lefèvre=lefevre", "D'Aubigné=d'aubigne", "Noël=noel", "Dupont", "Bézier=bezier" } },
  { language = "es-ES", country = "ES", city = "A Coruña",
    given = { "María José=maria.jose", "Íñigo=inigo", "Begoña=begona", "Álvaro=alvaro" },
    surname = { "Núñez=nunez", "García López=garcia.lopez", "Peña=pena", "Ibáñez=ibanez" } },
  { language = "pl-PL", country = "PL", city = "Łódź",
    given = { "Łukasz=lukasz", "Żaneta=zaneta", "Małgorzata=malgorzata", "Paweł=pawel" },
    surname = { "Wójcik=wojcik", "Kowalczyk", "Błaszczyk=blaszczyk", "Zieliński=zielinski" } },
  { language = "tr-TR", country = "TR", city = "İzmir",
    given = { "İbrahim=ibrahim", "Şule=sule", "Çağla=cagla", "Işıl=isil" },
    surname = { "Yılmaz=yilmaz", "Öztürk=ozturk", "Güneş=gunes", "Kılıç=kilic" } },
  { language = "sv-SE", country = "SE", city = "Malmö",
    given = { "Åsa=asa", "Göran=goran", "Linnéa=linnea", "Östen=osten" },
    surname = { "Sjöström=sjostrom", "Åkesson=akesson", "Lindqvist", "Bergström=bergstrom" } },
  { language = "el-GR", country = "GR", city = "Πάτρα",
    given = { "Ελένη=eleni", "Γιώργος=giorgos", "Σοφία=sofia" },
    surname = { "Παπαδοπούλου=papadopoulou", "Νικολάου=nikolaou", "Δημητρίου=dimitriou" } },
  { language = "uk-UA", country = "UA", city = "Львів",
    given = { "Олена=olena", "Андрій=andrii", "Юлія=yuliia" },
    surname = { "Шевченко=shevchenko", "Коваленко=kovalenko", "Бойко=boiko" } },
  { language = "ar-JO", country = "JO", city = "عمّان",
    given = { "ليلى=layla", "يوسف=yousef", "نور=nour" },
    surname = { "حداد=haddad", "الخطيب=al-khatib", "منصور=mansour" } },
  { language = "hi-IN", country = "IN", city = "पुणे",
    given = { "प्रिया=priya", "अर्जुन=arjun", "कविता=kavita" },
    surname = { "शर्मा=sharma", "पटेल=patel", "अय्यर=iyer" } },
  { language = "ja-JP", country = "JP", city = "大阪", surname_first = true,
    given = { "花子=hanako", "健太=kenta", "さくら=sakura" },
    surname = { "山田=yamada", "佐藤=sato", "鈴木=suzuki" } },
  { language = "zh-CN", country = "CN", city = "上海", surname_first = true,
    given = { "伟=wei", "秀英=xiuying", "子涵=zihan" },
    surname = { "王=wang", "李=li", "欧阳=ouyang" } },
  { language = "vi-VN", country = "VN", city = "Đà Nẵng", surname_first = true,
    given = { "Thị Hạnh=thi.hanh", "Văn Dũng=van.dung", "Minh Châu=minh.chau" },
    surname = { "Nguyễn=nguyen", "Trần=tran", "Đặng=dang" } },
}

local JOBS = {
  { "Engineering", "Software Engineer" }, { "Engineering", "Test Engineer" }, { "Sales", "Account Executive" },
  { "Sales", "Sales Manager" }, { "Finance", "Controller" }, { "Human Resources", "Recruiter" },
  { "Legal", "Counsel" }, { "Marketing", "Copywriter" }, { "IT", "System Administrator" },
  { "Operations", "Warehouse Lead" }, { "Research", "Analyst" },
}

local ADMIN_ROLES = { "Global Administrator", "User Administrator", "Intune Administrator", "Helpdesk Administrator" }

local GUEST_DOMAINS = { "example.com", "example.org", "example.net" }

-- Everybody a tenant of any seed has, as far as it is large enough.
local CAST = {
  { name = "ada", given = "Ada", surname = "Lovelace", licensed = true },
  { name = "grace", given = "Grace", surname = "Hopper", licensed = true, role = "Global Administrator" },
  { name = "conan.o'brien", given = "Conan", surname = "O'Brien", licensed = true },
  { name = "lin", given = "Lin", surname = "Zhang", guest = true, partner = "example.com" },
  { name = "kaethe.mueller", given = "Käthe", surname = "Müller", licensed = true, synced = true },
  { name = "pavel.novak", given = "Pavel", surname = "Novák" },
  { name = "ayse.yilmaz", given = "Ayşe", surname = "Yılmaz", licensed = true, disabled = true },
}

local function split_name(entry)
  local display, ascii = entry:match("^(.*)=(.*)$")
  return display or entry, ascii or entry:lower()
end

for _, culture in ipairs(CULTURES) do
  for _, names in ipairs { culture.given, culture.surname } do
    for i, entry in ipairs(names) do names[i] = { split_name(entry) } end
  end
end

local function principal_name(local_part, partner)
  if not partner then return local_part .. "@" .. M.DOMAIN end
  return local_part .. "_" .. partner .. "#EXT#@" .. M.INITIAL_DOMAIN
end

local function draw_name(stream, index)
  local culture = stream:pick(CULTURES)
  local given, surname = stream:pick(culture.given), stream:pick(culture.surname)
  return {
    given = given[1], surname = surname[1], culture = culture,
    display = culture.surname_first and surname[1] .. " " .. given[1] or given[1] .. " " .. surname[1],
    name = given[2] .. "." .. surname[2] .. index,
  }
end

local function draw_standing(stream)
  local guest = stream:chance(0.06)
  return {
    guest = guest, partner = guest and stream:pick(GUEST_DOMAINS) or nil,
    licensed = not guest and stream:chance(0.88),
    synced = not guest and stream:chance(0.3),
    disabled = stream:chance(0.04),
    role = not guest and stream:chance(0.02) and stream:pick(ADMIN_ROLES) or nil,
  }
end

--- Who user `index` is: a name and a standing, drawn or from the cast.
local function identity(stream, index)
  local cast = CAST[index]
  if cast then
    return { name = cast.name, given = cast.given, surname = cast.surname, culture = CULTURES[1],
      display = cast.given .. " " .. cast.surname }, cast
  end
  return draw_name(stream, index), draw_standing(stream)
end

---@class msgraph.sim.User              the properties of Graph's user, and what only a tenant's owner knows:
---@field index integer
---@field licensed boolean              has a licence with Intune in it
---@field guest boolean
---@field synced boolean                comes from an on-premises directory
---@field admin boolean
---@field role? string                  the directory role of an admin

--- The user with this number.
---@param seed integer
---@param index integer from 1
---@return msgraph.sim.User
function M.user(seed, index)
  local stream = random.stream(seed, M.KIND, index)
  local who, standing = identity(stream, index)
  local job = stream:pick(JOBS)
  local upn = principal_name(who.name, standing.partner)
  return {
    index = index,
    id = random.id(seed, M.KIND, index),
    userPrincipalName = upn,
    displayName = who.display, givenName = who.given, surname = who.surname,
    mail = standing.partner and who.name .. "@" .. standing.partner or upn,
    department = job[1], jobTitle = job[2],
    officeLocation = stream:int(1, 40) .. "/" .. stream:int(1000, 2999),
    preferredLanguage = who.culture.language, usageLocation = who.culture.country,
    country = who.culture.country, city = who.culture.city,
    mobilePhone = "+1 425 555 0" .. stream:int(100, 199),
    age_days = stream:int(30, 3000),
    accountEnabled = not standing.disabled,
    userType = standing.guest and "Guest" or "Member",
    licensed = standing.licensed or false, guest = standing.guest or false,
    synced = standing.synced or false, admin = standing.role ~= nil, role = standing.role,
  }
end

local CAST_INDEX = {}
for index, cast in ipairs(CAST) do CAST_INDEX[principal_name(cast.name, cast.partner):lower()] = index end

--- The number a principal name speaks of, or nil. Whether that user has that name is for the caller to see.
---@param upn string in lower case
---@return integer?
function M.index_of(upn)
  if CAST_INDEX[upn] then return CAST_INDEX[upn] end
  local digits = upn:match("(%d+)[@_]")
  return digits and #digits < 12 and math.tointeger(tonumber(digits)) or nil
end

--- The user who signs in when a spec does not say who.
M.ADMIN = 2

return M
