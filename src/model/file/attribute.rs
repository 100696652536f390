//! The attributes that can differ between the baseline and a look; their numbers are bits in the database.

macro_rules! attributes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $bit:literal, $word:literal;)+) => {
        /// One comparable attribute of a file-system object. The numbers are bits in the database and never change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Attribute {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Attribute {
            /// All attributes, in the order they are reported.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Its name in configuration and reports.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            const fn bit(self) -> u32 {
                match self { $(Self::$variant => 1 << $bit,)+ }
            }
        }
    };
}

attributes! {
    /// The type of the object.
    Type = 0, "type";
    /// The size in bytes.
    Size = 1, "size";
    /// The content, by its digests.
    Content = 2, "content";
    /// Permission, set-ID and sticky bits.
    Perms = 3, "perms";
    /// The owner.
    Uid = 4, "owner";
    /// The group.
    Gid = 5, "group";
    /// Where a symbolic link points.
    Target = 6, "target";
    /// Which device a device node is.
    Rdev = 7, "rdev";
    /// The number of hard links.
    Nlink = 8, "nlink";
    /// The inode number.
    Inode = 9, "inode";
    /// The time of the last modification.
    Mtime = 10, "mtime";
    /// The time of the last status change.
    Ctime = 11, "ctime";
    /// POSIX access control lists.
    Acl = 12, "acl";
    /// File capabilities.
    Caps = 13, "caps";
    /// The SELinux label.
    Selinux = 14, "selinux";
    /// Other extended attributes.
    Xattrs = 15, "xattrs";
    /// Inode flags: immutable, append-only.
    Flags = 16, "flags";
    /// The time of birth (evidence; not compared by default).
    Btime = 17, "btime";
}

/// A set of attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct AttributeSet(u32);

impl AttributeSet {
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// The set with these bits, as stored by [`AttributeSet::bits`].
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Its bits, as they are stored.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The set of all in `list`.
    pub fn of(list: &[Attribute]) -> Self {
        list.iter().fold(Self::NONE, |set, attribute| set.with(*attribute))
    }

    /// The set with `attribute` added.
    #[must_use]
    pub const fn with(self, attribute: Attribute) -> Self {
        Self(self.0 | attribute.bit())
    }

    /// The set with `attribute` taken out.
    #[must_use]
    pub const fn without(self, attribute: Attribute) -> Self {
        Self(self.0 & !attribute.bit())
    }

    /// What is in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether `attribute` is in it.
    pub const fn has(self, attribute: Attribute) -> bool {
        self.0 & attribute.bit() != 0
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether everything in it is also in `other`.
    pub const fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// Its members, in the order they are reported.
    pub fn iter(self) -> impl Iterator<Item = Attribute> {
        Attribute::ALL.iter().copied().filter(move |attribute| self.has(*attribute))
    }
}
